-- A node leaves, with its workers. Parameter: node.
delete from awa.node where id = %(node)s;

-- Ask producers to send wake-ups to this node: a trigger counts the rows into awa.idle_nodes, and does
-- so again when there is one already. A node that is being removed is waited for, and not noted
-- when it has gone. Parameter: node.
insert into awa.idle_node (node_id) select id from awa.node where id = %(node)s for key share on conflict do nothing;

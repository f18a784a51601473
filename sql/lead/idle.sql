-- Ask producers to send wake-ups to this node: a trigger counts the rows into awa.idle_nodes, and does
-- so again when there is one already. Parameter: node.
insert into awa.idle (node_id) select id from awa.node where id = %(node)s on conflict do nothing;

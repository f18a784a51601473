-- Ask producers to send wake-ups to this node. Parameter: node.
insert into awa.idle (node_id) select id from awa.node where id = %(node)s on conflict do nothing;

-- One row a node, however many jobs run. Parameter: node. No row: declared dead.
update awa.node set heartbeat_at = clock_timestamp() where id = %(node)s returning id;

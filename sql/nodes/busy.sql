-- Ask producers to stop sending wake-ups for this node. Parameter: node.
delete from awa.idle_node where node_id = %(node)s;

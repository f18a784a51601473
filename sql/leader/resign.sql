-- Give up the leadership, so that another node need not wait for it to lapse.
-- Parameter: node.
update awa.leader set node_id = null, backend = null where node_id = %(node)s returning term;

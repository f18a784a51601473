-- Take or extend the leadership. Parameters: node, trust_s (seconds the holder
-- may trust it without asking again). Returns the term when this node leads.
-- Two leaders at once are harmless: every duty is guarded by row locks or keys.
update awa.leader
set node_id = %(node)s, until = clock_timestamp() + make_interval(secs => %(trust_s)s),
    term = term + (node_id is distinct from %(node)s)::int
where node_id = %(node)s or node_id is null or until < clock_timestamp()
returning term;

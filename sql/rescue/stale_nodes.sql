-- Nodes whose heartbeat is older than stale_s seconds, locked, with their
-- workers. Skips those that somebody else is rescuing. Parameter: stale_s.
select n.id, n.name, array(select w.id from awa.worker w where w.node_id = n.id order by w.id) as workers
from awa.node n
where n.heartbeat_at < clock_timestamp() - make_interval(secs => %(stale_s)s)
for update of n skip locked;

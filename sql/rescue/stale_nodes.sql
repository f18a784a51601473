-- Nodes whose heartbeat is older than stale_s seconds, locked, with their
-- workers. Skips those that somebody else is rescuing. Parameters: stale_s, but (a
-- node that is not looked at, or null).
select n.id, n.name, array(select w.id from awa.worker w where w.node_id = n.id order by w.id) as workers
from awa.node n
where n.id is distinct from %(but)s::int
  and n.heartbeat_at < clock_timestamp() - make_interval(secs => %(stale_s)s)
for update of n skip locked;

-- Lock a stale node, and see that it still is; its name and workers. Nothing when it
-- has given a sign of life, or somebody else is rescuing it. Parameters: stale_s, node.
select n.name, array(select w.id from awa.worker w where w.node_id = n.id order by w.id) as workers
from awa.node n
where n.id = %(node)s and n.heartbeat_at < clock_timestamp() - make_interval(secs => %(stale_s)s)
for update of n skip locked;

-- A node whose heartbeat is older than stale_s seconds.
-- Parameters: stale_s, seen int[] (nodes not to look at again).
select id from awa.node
where heartbeat_at < clock_timestamp() - make_interval(secs => %(stale_s)s) and id <> all (%(seen)s::int[])
order by id limit 1;

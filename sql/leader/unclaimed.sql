-- Kinds with jobs ready to run that no live node can run: no handler, or a queue
-- no node serves. They stay available; the leader reports them.
-- kind_known: some node has a handler, it only does not work on this queue.
select l.kind, l.queue, sum(cardinality(b.ids))::bigint as jobs,
       exists (select from awa.node n where l.kind = any (n.kinds)) as kind_known
from awa.lane l
cross join lateral (select ids from awa.batch b where b.lane = l.id and b.owner is null limit 100) b
where not exists (select from awa.node n where l.kind = any (n.kinds) and (n.queues is null or l.queue = any (n.queues)))
group by l.kind, l.queue order by l.kind, l.queue;

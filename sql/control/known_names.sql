-- All queues and kinds that something knows: jobs had them (a lane is never removed), a
-- live node works on them, or a queue has been configured. Sequential scans of small tables.
select 'queue' as what, name from awa.queue
union select 'queue', queue from awa.lane
union select 'queue', q.name from awa.node n cross join lateral unnest(n.queues) as q(name)
union select 'kind', kind from awa.lane
union select 'kind', k.name from awa.node n cross join lateral unnest(n.kinds) as k(name);

-- The first ready batch of each lane that no other transaction has locked, where a claim
-- has seen locked ones only. Parameters: lanes int[], starts timestamptz[], as for
-- claim/claim. Returns order_key: where to claim from in that lane; ties: how many ready
-- batches of the same order_key stand before it. Of a lane in which all are locked: right
-- behind its last one. Nothing of a lane without ready batches.
-- Index: batch_ready (lane, order_key, id), in order: the scan of a lane ends at the first
-- row that can be locked, so it reads the locked ones once and no more of the others.
-- The locks go with this statement: whoever comes first has the batches.
with first as materialized (
  select l.lane, l.start, free.id, free.order_key
  from unnest(%(lanes)s::int[], %(starts)s::timestamptz[]) as l(lane, start)
  left join lateral (
    select b.id, b.order_key from awa.batch b
    where b.lane = l.lane and b.owner is null and b.order_key >= l.start
    order by b.order_key, b.id limit 1 for share skip locked
  ) free on true
)
select f.lane, f.order_key::text,
       (select count(*)::int from awa.batch b
        where b.lane = f.lane and b.owner is null and b.order_key = f.order_key and b.id < f.id) as ties
from first f where f.id is not null
union all
select f.lane, (last.order_key + interval '1 microsecond')::text, 0
from first f
cross join lateral (
  select b.order_key from awa.batch b
  where b.lane = f.lane and b.owner is null and b.order_key >= f.start
  order by b.order_key desc, b.id desc limit 1
) last
where f.id is null;

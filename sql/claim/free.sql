-- The first ready batch of each lane that no other transaction has locked, where a claim
-- has seen locked ones only. Parameters: lanes int[], starts timestamptz[], as for
-- claim/claim. Returns sort_at: where to claim from in that lane; ties: how many ready
-- batches of the same sort_at stand before it. Of a lane in which all are locked: right
-- behind its last one. Nothing of a lane without ready batches.
-- Index: batch_ready (lane, sort_at, id), in order: the scan of a lane ends at the first
-- row that can be locked, so it reads the locked ones once and no more of the others.
-- The locks go with this statement: the first session to come has the batches.
with first as materialized (
  select l.lane, l.start, free.id, free.sort_at
  from unnest(%(lanes)s::int[], %(starts)s::timestamptz[]) as l(lane, start)
  left join lateral (
    select b.id, b.sort_at from awa.batch b
    where b.lane = l.lane and b.owner is null and b.sort_at >= l.start
    order by b.sort_at, b.id limit 1 for share skip locked
  ) free on true
)
select f.lane, f.sort_at::text,
       (select count(*)::int from awa.batch b
        where b.lane = f.lane and b.owner is null and b.sort_at = f.sort_at and b.id < f.id) as ties
from first f where f.id is not null
union all
select f.lane, (last.sort_at + interval '1 microsecond')::text, 0
from first f
cross join lateral (
  select b.sort_at from awa.batch b
  where b.lane = f.lane and b.owner is null and b.sort_at >= f.start
  order by b.sort_at desc, b.id desc limit 1
) last
where f.id is null;

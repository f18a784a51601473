-- Lease ready batches, whole or in part, to one worker.
--
-- Parameters: worker; lanes int[], starts timestamptz[] (where the lane's last
--   claim ended: the index entries before it are dead, and a pinned vacuum
--   horizon would make every claim read them again), costs float8[] (expected
--   microseconds a job), budget (microseconds of work to take, at least one
--   job), depth (batches to look at), batches_max (batches to take), ahead (how
--   many of the next batches to name the lanes of).
-- Index: batch_ready (lane, sort_at, id). Each lane is read by itself and the
-- fronts are merged by key: "lane = any(...) order by" would sort the backlog.
-- "b.id = any (array(...))" keeps the updates on the primary key, also when the
-- statement was planned while the table was empty. "coalesce(b.owner, 0) = 0" does so
-- for the locking: it says "b.owner is null" without inviting batch_ready, whose dead
-- entries would all be read.
-- The last batch taken may be split: its front becomes a lease of its own, the
-- rest stays where it is. A worker that is no longer registered gets nothing.
with front as materialized (
  select b.id, b.sort_at, l.lane, l.cost
  from unnest(%(lanes)s::int[], %(starts)s::timestamptz[], %(costs)s::float8[]) as l(lane, start, cost)
  cross join lateral (
    select b.id, b.sort_at from awa.batch b
    where b.lane = l.lane and b.owner is null and b.sort_at >= l.start
    order by b.sort_at, b.id limit %(depth)s
  ) b
  where exists (select from awa.worker w where w.id = %(worker)s)
    and not exists (select from awa.queue q join awa.lane p on p.queue = q.name
                    where q.paused_at is not null and p.id = l.lane)
  order by b.sort_at, b.id limit greatest(%(depth)s::int, %(ahead)s::int)
), near as materialized (
  select * from front order by sort_at, id limit %(depth)s
), locked as materialized (
  select b.id, b.sort_at, b.lane, b.retry_round, b.ids, b.attempts, f.cost
  from near f join awa.batch b on b.id = f.id
  where coalesce(b.owner, 0) = 0
  order by f.sort_at, f.id limit %(batches_max)s
  for update of b skip locked
), summed as (
  select *, cardinality(ids) as jobs, row_number() over in_order as pos,
         sum(cardinality(ids) * cost) over in_order - cardinality(ids) * cost as before
  from locked window in_order as (order by sort_at, id)
), taken as materialized (
  select *, least(jobs, case when pos = 1 then greatest(1, ceil((%(budget)s - before) / cost))
                             else ceil((%(budget)s - before) / cost) end)::int as take
  from summed where before < %(budget)s or pos = 1
), whole as (
  update awa.batch b set owner = %(worker)s, leased_at = now(), lease_pos = t.pos
  from taken t where b.id = t.id and t.take = t.jobs and b.id = any (array(select id from taken))
), rest as (
  update awa.batch b set ids = t.ids[t.take + 1 :], attempts = t.attempts[t.take + 1 :]
  from taken t where b.id = t.id and t.take < t.jobs and b.id = any (array(select id from taken))
), split as (
  insert into awa.batch (sort_at, leased_at, owner, lane, retry_round, lease_pos, ids, attempts)
  select sort_at, now(), %(worker)s, lane, retry_round, pos, ids[: take], attempts[: take]
  from taken where take < jobs
)
select (select array_agg(id order by sort_at, id) from near) as seen,
       (select array_agg(lane order by sort_at, id)
        from (select * from front order by sort_at, id limit %(ahead)s) next) as ahead,
       exists (select from awa.worker w where w.id = %(worker)s) as registered,
       (select count(*)::int from awa.worker) as workers, now()::text as since,
       (extract(epoch from clock_timestamp()) * 1e6)::bigint as clock_us,
       t.lane, t.sort_at::text, t.retry_round, t.ids[: t.take] as ids, t.attempts[: t.take] as attempts, t.jobs - t.take as left
from (select 1) one left join taken t on true
order by t.pos;

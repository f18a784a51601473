-- Run jobs that ended again, from attempt 0 of a new round; errors are kept. One that
-- is a dead letter is none any more.
--
-- Parameters: ids bigint[]; outcomes smallint[] (which ends: 5 failed, 6 cancelled);
--   dead (true: only dead letters; false: only others; null: both); queue, priority
--   (null: where the job was); run_at (null: at once); batch_max (jobs a batch).
-- Returns the jobs that run again. Runs behind ended/lock.sql in one transaction.
with last as materialized (
  select u.id, a.lane, a.round
  from unnest(%(ids)s::bigint[]) as u(id)
  cross join lateral (select a.lane, a.round, a.outcome from awa.attempt_log a where a.job_id = u.id
                      order by a.round desc, a.attempt desc limit 1) a
  where a.outcome = any (%(outcomes)s::smallint[])
    and (%(dead)s::boolean is null or %(dead)s = exists (select from awa.dlq d where d.job_id = u.id))
), wanted as materialized (
  select t.id, t.round + 1 as round, t.lane as old_lane, l.kind,
         coalesce(%(queue)s::text, l.queue) as queue, coalesce(%(priority)s::smallint, l.priority) as priority
  from last t join awa.lane l on l.id = t.lane
), new_queue as (
  insert into awa.queue (name) select distinct queue from wanted w
  where not exists (select from awa.queue q where q.name = w.queue)
  on conflict do nothing
), new_lane as (
  -- do update, so that a lane made meanwhile by somebody else is returned too
  insert into awa.lane (queue, kind, priority)
  select distinct queue, kind, priority from wanted w
  where not exists (select from awa.lane l where l.queue = w.queue and l.kind = w.kind and l.priority = w.priority)
  on conflict (queue, kind, priority) do update set queue = excluded.queue
  returning id, queue, kind, priority
), lanes as materialized (
  select id, queue, kind, priority from awa.lane union select id, queue, kind, priority from new_lane
), placed as materialized (
  select w.id, w.round, w.old_lane, l.id as lane, clock_timestamp() + awa.ageing(w.priority, q.ageing_s) as order_key,
         row_number() over (partition by l.id, w.round order by w.id) - 1 as pos
  from wanted w
  join lanes l on l.queue = w.queue and l.kind = w.kind and l.priority = w.priority
  left join awa.queue q on q.name = w.queue
), marked as (
  insert into awa.attempt_log (job_id, finished_at, lane, round, attempt, outcome)
  select id, clock_timestamp(), lane, round, 0, 1 from placed
), taken as (
  delete from awa.dlq where job_id = any (array(select id from placed))
), rerouted as (
  insert into awa.rerouted (job_id, lane) select id, lane from placed where lane <> old_lane
  on conflict (job_id) do update set lane = excluded.lane
), batches as (
  insert into awa.batch (order_key, lane, round, ids)
  select min(order_key), lane, round, array_agg(id order by id) from placed
  where coalesce(%(run_at)s::timestamptz <= now(), true)
  group by lane, round, pos / %(batch_max)s
  order by min(order_key), pos / %(batch_max)s
), later as (
  insert into awa.deferred (job_id, run_at, lane, round, why)
  select id, %(run_at)s::timestamptz, lane, round, 'scheduled' from placed where %(run_at)s::timestamptz > now()
)
select id from placed order by id;

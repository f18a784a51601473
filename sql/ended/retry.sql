-- Run jobs that ended again, from attempt 0 of a new round; errors are kept. One that
-- is a dead letter is none any more.
--
-- Parameters: ids bigint[]; outcomes smallint[] (which ends: 5 failed, 6 cancelled);
--   dead (true: only dead letters; false: only others; null: both); queue, priority
--   (null: where the job was); run_at (null: at once); batch_max (jobs a batch).
-- Returns the jobs that run again: those whose unique key is free, or is still their own;
-- and those with an ordering key are at the end of its line. Runs behind ended/lock.sql in one transaction.
with last as materialized (
  select u.id, a.lane, a.retry_round
  from unnest(%(ids)s::bigint[]) as u(id)
  cross join lateral (select a.lane, a.retry_round, a.outcome from awa.every_attempt a where a.job_id = u.id
                      order by a.retry_round desc, a.attempt desc limit 1) a
  where a.outcome = any (%(outcomes)s::smallint[])
    and not exists (select from awa.key_line n where n.job_id = u.id)  -- it was cancelled, and has not stopped yet
    and (%(dead)s::boolean is null or %(dead)s = exists (select from awa.dlq d where d.job_id = u.id))
), keyed as materialized (
  -- A unique key is taken again, if it is held in the state that the job comes into; who
  -- does not get it does not run again. Of two that want the same one, the older does.
  select distinct on (b.unique_key) t.id, b.unique_key, b.unique_states
  from last t join awa.stored_job b on b.id = t.id
  where b.unique_key is not null and not exists (select from awa.unique_claim u where u.job_id = t.id)
    and (b.unique_states >> case when %(run_at)s::timestamptz > now() then 0 else 1 end) & 1 = 1
  order by b.unique_key, t.id
), claimed as (
  insert into awa.unique_claim (key, job_id, states) select unique_key, id, unique_states from keyed order by unique_key
  on conflict do nothing returning job_id
), may as materialized (
  select t.* from last t join awa.stored_job b on b.id = t.id
  where b.unique_key is null or exists (select from claimed c where c.job_id = t.id)
     or (b.unique_states >> case when %(run_at)s::timestamptz > now() then 0 else 1 end) & 1 = 0
     or exists (select from awa.unique_claim u where u.job_id = t.id)
), wanted as materialized (
  select t.id, t.retry_round + 1 as retry_round, t.lane as old_lane, l.kind,
         coalesce(%(queue)s::text, l.queue) as queue, coalesce(%(priority)s::smallint, l.priority) as priority,
         l.is_unique, l.is_ordered,
         case when l.is_ordered then (select b.ordering_key from awa.stored_job b where b.id = t.id) end as ordering_key
  from may t join awa.lane l on l.id = t.lane
), new_lane as (
  insert into awa.lane (queue, kind, priority, is_unique, is_ordered)
  select queue, kind, priority, bool_or(is_unique), bool_or(is_ordered) from wanted w
  where not exists (select from awa.lane l where l.queue = w.queue and l.kind = w.kind and l.priority = w.priority
                      and l.is_unique >= w.is_unique and l.is_ordered >= w.is_ordered)
  group by queue, kind, priority
  returning id, queue, kind, priority, is_unique, is_ordered
), lanes as materialized (
  select w.id as job_id, min(l.id) as id
  from wanted w
  join (select id, queue, kind, priority, is_unique, is_ordered from awa.lane union all select * from new_lane) l
    on l.queue = w.queue and l.kind = w.kind and l.priority = w.priority
   and l.is_unique >= w.is_unique and l.is_ordered >= w.is_ordered
  group by w.id
), placed as materialized (
  select w.id, w.retry_round, w.old_lane, l.id as lane, w.queue, w.ordering_key, clock_timestamp() + awa.ageing(w.priority, q.ageing_s) as sort_at,
         row_number() over (partition by l.id, w.retry_round order by w.id) - 1 as pos,
         coalesce(%(run_at)s::timestamptz <= now(), true) as due
  from wanted w
  join lanes l on l.job_id = w.id
  left join awa.queue q on q.name = w.queue
), marked as (
  insert into awa.attempt_log (job_id, finished_at, lane, retry_round, attempt, outcome)
  select id, clock_timestamp(), lane, retry_round, 0, 1 from placed
), in_time as (
  delete from awa.job_expiry where job_id = any (array(select id from placed))
), taken as (
  delete from awa.dlq where job_id = any (array(select id from placed))
), overridden as (
  insert into awa.job_override (job_id, lane) select id, lane from placed where lane <> old_lane
  on conflict (job_id) do update set lane = excluded.lane
), batches as (
  insert into awa.batch (sort_at, lane, retry_round, ids)
  select min(sort_at), lane, retry_round, array_agg(id order by id) from placed
  where due and ordering_key is null
  group by lane, retry_round, pos / %(batch_max)s
  order by min(sort_at), pos / %(batch_max)s
), later as (
  insert into awa.deferred (job_id, run_at, lane, retry_round, why)
  select id, %(run_at)s::timestamptz, lane, retry_round, 'scheduled' from placed where not due
), lined_up as (
  insert into awa.key_line (job_id, sort_at, lane, retry_round, state, queue, key)
  select id, sort_at, lane, retry_round, due::int, queue, ordering_key from placed where ordering_key is not null order by id
), lines as (
  insert into awa.key_freed (queue, key)
  select distinct queue, ordering_key from placed where ordering_key is not null and due
)
select id from placed order by id;

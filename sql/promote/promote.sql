-- Bring back deferred jobs that are due, into ready batches.
--
-- Parameters: start (run_at of the last one promoted; entries before it are dead
--   and, with the vacuum horizon pinned, would be read again each time; now and
--   then the caller passes -infinity), jobs_max, batch_max.
-- Index: deferred_due (run_at, job_id), and the primary key by "= any (array)": a
-- plain join read the whole table to delete four rows while its statistics were
-- young. Two promoters share the work.
with due as materialized (
  select job_id, run_at, lane, retry_round, attempt from awa.deferred
  where run_at >= %(start)s::timestamptz and run_at <= now()
  order by run_at, job_id limit %(jobs_max)s
  for update skip locked
), gone as (
  delete from awa.deferred where job_id = any (array(select job_id from due))
), lined_up as (
  -- One that had stepped aside comes back into its line, at its old place; the head of
  -- one has held it, and goes on.
  update awa.key_line n set state = 1, attempt = due.attempt from due
  where n.job_id = due.job_id and n.state = 0
    and n.job_id = any (array(select job_id from due
                              where lane = any (array(select id from awa.lane where is_ordered))))
  returning n.job_id, n.queue, n.key
), lines as (
  insert into awa.key_freed (queue, key) select distinct queue, key from lined_up
), let_go as (
  delete from awa.unique_claim where key = any (array(
    select key from awa.unique_claim
    where job_id = any (array(select job_id from due where lane = any (array(select id from awa.lane where is_unique))))
      and (states >> 1) & 1 = 0
    for update skip locked))
), placed as (
  select due.*, due.run_at + awa.ageing(l.priority, q.ageing_s) as sort_at,
         row_number() over (partition by due.lane, due.retry_round order by due.run_at, due.job_id) - 1 as pos
  from (select * from due where job_id <> all (array(select job_id from lined_up))) due
  join awa.lane l on l.id = due.lane left join awa.queue q on q.name = l.queue
), batches as (
  insert into awa.batch (lane, retry_round, sort_at, ids, attempts)
  select lane, retry_round, min(sort_at), array_agg(job_id order by run_at, job_id), array_agg(attempt order by run_at, job_id)
  from placed group by lane, retry_round, pos / %(batch_max)s
  order by min(sort_at)
  returning 1
)
select (select count(*)::int from due) as jobs, (select max(run_at)::text from due) as last, (select count(*)::int from batches) as batches;

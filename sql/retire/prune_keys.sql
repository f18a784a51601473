-- Let go of unique keys whose jobs have ended and may be forgotten, although their
-- segment is still there; and of those whose job is no more.
-- Parameters: above (the job id where the last step ended), upto (job ids below it), jobs_max (looked at);
--   completed_s, failed_s (retentions of queues without their own).
-- Index: unique_claim_job (job_id). Returns where the next step goes on; null: at
-- the beginning.
with looked as materialized (
  select job_id from awa.unique_claim where job_id > %(above)s and job_id < %(upto)s order by job_id limit %(jobs_max)s
), over as materialized (
  select looked.job_id
  from looked
  cross join lateral (select a.lane, a.outcome, a.finished_at from awa.every_attempt a where a.job_id = looked.job_id
                      order by a.retry_round desc, a.attempt desc limit 1) last
  join awa.lane l on l.id = last.lane
  left join awa.queue q on q.name = l.queue
  where last.finished_at <= clock_timestamp() - make_interval(secs => case
          when last.outcome in (3, 6) then coalesce(q.retention_completed_h * 3600, %(completed_s)s)
          when last.outcome = 5 then coalesce(q.retention_failed_h * 3600, %(failed_s)s) end)
  union all
  select job_id from looked where not exists (select from awa.stored_job b where b.id = looked.job_id)
), gone as (
  delete from awa.unique_claim where key = any (array(
    select key from awa.unique_claim where job_id = any (array(select job_id from over)) for update skip locked))
)
select case when count(*) >= %(jobs_max)s then max(job_id) end as above from looked;

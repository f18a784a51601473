-- Forget where jobs that are no more had been overridden to. Parameters: above (the job id
-- where the last step ended), jobs_max (looked at). Index: the primary key.
-- Returns where the next step goes on; null: at the beginning.
with looked as materialized (
  select job_id from awa.job_override where job_id > %(above)s order by job_id limit %(jobs_max)s
), gone as (
  delete from awa.job_override where job_id = any (array(
    select l.job_id from looked l where not exists (select from awa.stored_job b where b.id = l.job_id)))
)
select case when count(*) >= %(jobs_max)s then max(job_id) end as above from looked;

-- Jobs of a segment that have changed since it began to leave. Parameters: first_id, end_id, above (a
-- job id), jobs_max. Index: changed_job.
select distinct job_id from awa.changed
where job_id >= %(first_id)s and job_id < %(end_id)s and job_id > %(above)s order by job_id limit %(jobs_max)s;

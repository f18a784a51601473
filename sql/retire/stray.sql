-- Jobs of a segment that is in the default partition, oldest first.
-- Parameters: first_id, end_id, above (a job id), jobs_max. Index: the primary key.
select id from awa.job_log where id >= %(first_id)s and id < %(end_id)s and id > %(above)s order by id limit %(jobs_max)s;

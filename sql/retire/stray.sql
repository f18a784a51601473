-- Jobs of a segment that is in the default partition, oldest first.
-- Parameters: lo, hi, above (a job id), jobs_max. Index: the primary key.
select id from awa.job_log where id >= %(lo)s and id < %(hi)s and id > %(above)s order by id limit %(jobs_max)s;

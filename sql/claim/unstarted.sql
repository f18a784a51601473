-- Which of these leased jobs have never been started, of those that are to be cancelled
-- when their expires_at has come. Parameter: ids bigint[]. Index: job_expiry_job (job_id).
select distinct job_id from awa.job_expiry where job_id = any (%(ids)s::bigint[]);

-- Which of these leased jobs have never been started, of those that are to be cancelled
-- when their expires_at has come. Parameter: ids bigint[]. Index: expiring_job (job_id).
select distinct job_id from awa.expiring where job_id = any (%(ids)s::bigint[]);

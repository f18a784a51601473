-- The errors of a job's earlier attempts, oldest first, those before a retry by hand
-- included: what a handler asks for that looks at job.errors. Parameter: id.
-- Index: the primary key of attempt_log.
select error::text from awa.every_attempt
where job_id = %(id)s and error is not null order by retry_round, attempt;

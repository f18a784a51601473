-- The attempts of a job, oldest first. Parameter: id.
select * from awa.attempts where job_id = %(id)s order by retry_round, attempt;

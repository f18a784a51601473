-- The newest id there is: where an operation on all failed jobs ends, although jobs
-- go on coming and failing.
select last_value from awa.job_id;

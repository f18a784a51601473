-- What became of a completion that a handler wrote in a transaction of its own.
-- Parameters: job, attempt, worker; xid (that transaction; null: unknown).
-- Returns its status, "committed", "aborted", "in progress" or null, and whether
-- the completion is there to see. A committed transaction may lack it: a savepoint
-- may have been rolled back. Index: the primary key of attempt_log (job_id).
select pg_xact_status(%(xid)s::xid8) as status,
       exists (select from awa.every_attempt where job_id = %(job)s and attempt = %(attempt)s::smallint
                 and worker = %(worker)s and outcome = 3) as recorded;

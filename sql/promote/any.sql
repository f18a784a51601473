-- Whether promote/promote.sql has anything to bring back: it takes half a millisecond to
-- be planned and to find nothing. Index: deferred_due (run_at, job_id).
-- Parameter: start (as there).
select exists (select from awa.deferred where run_at >= %(start)s::timestamptz and run_at <= now());

-- Reserve ids for a bulk insert of the same transaction, and tell the time, for jobs
-- with a delay. Parameter: jobs.
-- Taken in the transaction that uses them: the lock on the sequence, held until
-- it ends, tells retire that ids of this range are still under way.
select array_agg(nextval('awa.job_id')) as ids, clock_timestamp() as now from generate_series(1, %(jobs)s);

-- Reserve ids for a bulk insert of the same transaction, and tell the time, for jobs
-- with a delay. Parameter: jobs. Returns the first of them and, where others took some
-- in between, all: mostly none has.
-- Taken in the transaction that uses them: the lock on the sequence, held until
-- it ends, tells retire that ids of this range are still under way.
select ids[1] as first,
       case when ids[cardinality(ids)] - ids[1] <> cardinality(ids) - 1 then ids end as ids,
       clock_timestamp() as now
from (select array_agg(nextval('awa.job_id')) as ids from generate_series(1, %(jobs)s)) taken;

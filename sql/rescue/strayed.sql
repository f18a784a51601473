-- Which of these jobs, each being run, are no longer in the lease of the worker that
-- runs them: cancelled, or given to others. One that its own handler completed is
-- not there any more either; it has not strayed.
-- Parameters: workers int[], jobs bigint[], parallel. Index: batch_leased.
select r.worker, r.job
from unnest(%(workers)s::int[], %(jobs)s::bigint[]) as r(worker, job)
where not exists (select from awa.batch b where b.owner = r.worker and r.job = any (b.ids))
  and not exists (select from awa.every_attempt a where a.job_id = r.job and a.worker = r.worker and a.outcome = 3);

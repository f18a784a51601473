-- Add what an attempt cost, and how it was ended by force, to the row that its
-- cancellation has left: who cancels a running job cannot know it, and the worker's
-- own settle is refused. The only update an attempt ever gets, and at most one.
-- Parameters: worker, and parallel arrays: ids bigint[]; started bigint[]
--   (microseconds since the epoch); cpu bigint[] (microseconds); peak int[] (KiB, 0
--   for unknown). Ids that were not cancelled under this worker are passed over.
--   ends jsonb: by id, what is added to the error (signal, stack), or {}.
-- Index: the primary key. The row may have been moved meanwhile, with a job that outlives its segment.
with given as materialized (
  select * from unnest(%(ids)s::bigint[], %(started)s::bigint[], %(cpu)s::bigint[], %(peak)s::int[]) as g(job_id, started, cpu, peak)
), logged as (
  update awa.attempt_log a
  set started_at = least(to_timestamp(g.started / 1e6), a.finished_at), cpu_s = g.cpu / 1e6, peak_kb = nullif(g.peak, 0),
      error = a.error || coalesce(%(ends)s::jsonb -> a.job_id::text, '{}')
  from given g where a.job_id = g.job_id and a.worker = %(worker)s and a.outcome = 6 and a.cpu_s is null
)
update awa.attempt_archive a
set started_at = least(to_timestamp(g.started / 1e6), a.finished_at), cpu_s = g.cpu / 1e6, peak_kb = nullif(g.peak, 0),
    error = a.error || coalesce(%(ends)s::jsonb -> a.job_id::text, '{}')
from given g where a.job_id = g.job_id and a.worker = %(worker)s and a.outcome = 6 and a.cpu_s is null;

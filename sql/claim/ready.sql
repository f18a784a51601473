-- How many jobs could be claimed from these lanes now, counted up to jobs_max: what
-- a supervisor asks to know how many of its idle workers to wake.
-- Parameters: lanes int[], jobs_max. Index: batch_ready.
select coalesce(sum(jobs), 0)::int
from (select cardinality(b.ids) as jobs
      from unnest(%(lanes)s::int[]) as l(lane)
      cross join lateral (
        select ids from awa.batch b where b.lane = l.lane and b.owner is null
        order by b.sort_at, b.id limit %(jobs_max)s
      ) b
      where not exists (select from awa.queue q join awa.lane p on p.queue = q.name
                        where q.paused_at is not null and p.id = l.lane)
      limit %(jobs_max)s) front;

-- Run a failed or cancelled job again, from attempt 0 of a new round; errors are
-- kept. Parameter: id. The mark's primary key lets one of two retries win;
-- the lock on a held body keeps it from being pruned at the same moment (a segment
-- cannot be dropped under the mark).
with body as materialized (
  select id from awa.job_log where id = %(id)s
  union all
  select id from (select id from awa.held where id = %(id)s for key share) kept
), last as materialized (
  select a.lane, a.round, a.outcome from awa.attempt_log a join body b on b.id = a.job_id
  where a.job_id = %(id)s order by a.round desc, a.attempt desc limit 1
), mark as (
  insert into awa.attempt_log (job_id, finished_at, lane, round, attempt, outcome)
  select %(id)s, clock_timestamp(), lane, round + 1, 0, 1 from last where outcome in (5, 6)
  returning lane, round
)
insert into awa.batch (order_key, lane, round, ids)
select clock_timestamp() + awa.ageing(l.priority, q.ageing_s), m.lane, m.round, array[%(id)s]
from mark m join awa.lane l on l.id = m.lane left join awa.queue q on q.name = l.queue
returning id;

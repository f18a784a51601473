-- May this segment go? Every job of it must have ended, or live on in held: those in
-- a batch or deferred, dead letters, failed ones within their retention, and ended
-- ones of a queue that keeps them for longer than is usual.
--
-- Parameters: lo, hi; completed_s, failed_s (retentions of queues without their own,
-- seconds).
-- fresh: jobs that ended and whose retention has not passed; lost: jobs that are
-- nowhere (never; the leader raises an alarm and keeps the segment).
with log as materialized (
  select id from awa.job_log where id >= %(lo)s and id < %(hi)s
), last as materialized (
  select distinct on (job_id) job_id, lane, outcome, finished_at
  from awa.attempt_log where job_id >= %(lo)s and job_id < %(hi)s
  order by job_id, round desc, attempt desc
), live as materialized (
  select job_id as id from awa.deferred where job_id >= %(lo)s and job_id < %(hi)s
  union all
  select job_id from awa.line where job_id >= %(lo)s and job_id < %(hi)s and state = 1
  union all
  select u.id from awa.batch b cross join lateral unnest(b.ids) as u(id) where u.id >= %(lo)s and u.id < %(hi)s
), kept as materialized (
  select l.id as lane, clock_timestamp() - make_interval(secs => coalesce(q.retention_completed_h * 3600, %(completed_s)s)) as completed,
         clock_timestamp() - make_interval(secs => coalesce(q.retention_failed_h * 3600, %(failed_s)s)) as failed
  from awa.lane l left join awa.queue q on q.name = l.queue
), judged as materialized (
  select log.id, last.outcome in (3, 5, 6) as ended, live.id is not null as alive, last.outcome = 5 as failed,
         case when last.outcome in (3, 6) then last.finished_at > kept.completed
              when last.outcome = 5 then last.finished_at > kept.failed end as recent,
         last.finished_at > clock_timestamp() - make_interval(secs => %(completed_s)s) as usual,
         dead.job_id is not null as dead
  from log
  left join last on last.job_id = log.id
  left join live on live.id = log.id
  left join kept on kept.lane = last.lane
  left join (select job_id from awa.dlq where job_id >= %(lo)s and job_id < %(hi)s) dead on dead.job_id = log.id
)
select clock_timestamp() as at, count(*)::int as jobs,
       count(*) filter (where ended and not failed and recent and usual and not alive)::int as fresh,
       count(*) filter (where not coalesce(ended, false) and not alive)::int as lost,
       coalesce(array_agg(id) filter (where alive or dead or recent and (failed or not usual)), '{}') as survivors
from judged;

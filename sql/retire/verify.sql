-- May these jobs of a segment go? Each must have ended, or live on in held: those that
-- have not ended, dead letters, failed ones within their retention, and ended ones of a
-- queue that keeps them for longer than is usual.
--
-- Parameters: first_id, end_id (of a slice of the segment); completed_s, failed_s (retentions of
-- queues without their own, seconds).
-- jobs: how many there are; fresh: ended ones whose retention has not passed;
-- survivors: those that must live on; open: those among them that have not ended.
with log as materialized (
  select id from awa.job_log where id >= %(first_id)s and id < %(end_id)s
), last as materialized (
  select distinct on (job_id) job_id, lane, outcome, finished_at
  from awa.attempt_log where job_id >= %(first_id)s and job_id < %(end_id)s
  order by job_id, retry_round desc, attempt desc
), kept as materialized (
  select l.id as lane, clock_timestamp() - make_interval(secs => coalesce(q.retention_completed_h * 3600, %(completed_s)s)) as completed,
         clock_timestamp() - make_interval(secs => coalesce(q.retention_failed_h * 3600, %(failed_s)s)) as failed
  from awa.lane l left join awa.queue q on q.name = l.queue
), judged as materialized (
  select log.id, coalesce(last.outcome in (3, 5, 6), false) as ended, last.outcome = 5 as failed,
         case when last.outcome in (3, 6) then last.finished_at > kept.completed
              when last.outcome = 5 then last.finished_at > kept.failed end as recent,
         last.finished_at > clock_timestamp() - make_interval(secs => %(completed_s)s) as usual,
         dead.job_id is not null as dead
  from log
  left join last on last.job_id = log.id
  left join kept on kept.lane = last.lane
  left join (select job_id from awa.dlq where job_id >= %(first_id)s and job_id < %(end_id)s) dead on dead.job_id = log.id
)
select count(*)::int as jobs,
       count(*) filter (where ended and not failed and recent and usual)::int as fresh,
       coalesce(array_agg(id order by id) filter (where not ended or dead or recent and (failed or not usual)), '{}') as survivors,
       coalesce(array_agg(id order by id) filter (where not ended), '{}') as open
from judged;

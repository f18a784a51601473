-- May this segment go? Every job of it must have ended, or be in a batch or
-- deferred (then it survives, in held), as must failed ones within retention.
--
-- Parameters: lo, hi; completed_s, failed_s (retentions in seconds).
-- fresh: jobs that ended and whose retention has not passed; lost: jobs that are
-- nowhere (never; the leader raises an alarm and keeps the segment).
with log as materialized (
  select id from awa.job_log where id >= %(lo)s and id < %(hi)s
), last as materialized (
  select distinct on (job_id) job_id, outcome, finished_at
  from awa.attempt_log where job_id >= %(lo)s and job_id < %(hi)s
  order by job_id, round desc, attempt desc
), live as materialized (
  select job_id as id from awa.deferred where job_id >= %(lo)s and job_id < %(hi)s
  union all
  select u.id from awa.batch b cross join lateral unnest(b.ids) as u(id) where u.id >= %(lo)s and u.id < %(hi)s
), judged as materialized (
  select log.id, last.outcome in (3, 5, 6) as ended, live.id is not null as alive,
         case when last.outcome in (3, 6) then last.finished_at > clock_timestamp() - make_interval(secs => %(completed_s)s)
              when last.outcome = 5 then last.finished_at > clock_timestamp() - make_interval(secs => %(failed_s)s) end as recent,
         last.outcome
  from log left join last on last.job_id = log.id left join live on live.id = log.id
)
select clock_timestamp() as at, count(*)::int as jobs,
       count(*) filter (where outcome in (3, 6) and recent and not alive)::int as fresh,
       count(*) filter (where not coalesce(ended, false) and not alive)::int as lost,
       coalesce(array_agg(id) filter (where alive or outcome = 5 and recent), '{}') as survivors
from judged;

-- Forget held jobs, with their attempts, if their retention has passed; the others are
-- looked at again when it may have, and after recheck_s at the latest: it is counted
-- from when they end, and queues may be given another.
-- Parameters: ids (locked by retire/prune_ripe.sql), completed_s, failed_s, recheck_s.
with looked as materialized (
  select h.id, (
    select last.finished_at + make_interval(secs => case
             when last.outcome in (3, 6) then coalesce(q.retention_completed_h * 3600, %(completed_s)s)
             when last.outcome = 5 then coalesce(q.retention_failed_h * 3600, %(failed_s)s) end)
    from (select a.lane, a.outcome, a.finished_at from awa.every_attempt a where a.job_id = h.id
          order by a.retry_round desc, a.attempt desc limit 1) last
    join awa.lane l on l.id = last.lane
    left join awa.queue q on q.name = l.queue
    where not exists (select from awa.dlq d where d.job_id = h.id)
  ) as until
  from unnest(%(ids)s::bigint[]) as h(id)
), ended as materialized (
  select id from looked where until <= clock_timestamp()
), later as (
  update awa.job_archive h
  set look_at = least(clock_timestamp() + make_interval(secs => %(recheck_s)s), k.until)
  from looked k where h.id = k.id and (k.until > clock_timestamp()) is not false
), bodies as (
  delete from awa.job_archive h using ended e where h.id = e.id returning h.id
), attempts as (
  delete from awa.attempt_log a using ended e where a.job_id = e.id
), old_attempts as (
  delete from awa.attempt_archive a using ended e where a.job_id = e.id
), claims as (
  delete from awa.unique_claim u using ended e where u.job_id = e.id
), routes as (
  delete from awa.job_override r using ended e where r.job_id = e.id
)
select count(*)::int as jobs from bodies;

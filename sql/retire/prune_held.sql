-- Forget held jobs, with their attempts, if their retention has (still) passed.
-- Parameters: ids (locked by retire/prune_ripe.sql), completed_s, failed_s.
with ended as materialized (
  select h.id from unnest(%(ids)s::bigint[]) as h(id)
  cross join lateral (select a.lane, a.outcome, a.finished_at from awa.attempt_log a where a.job_id = h.id
                      order by a.round desc, a.attempt desc limit 1) last
  join awa.lane l on l.id = last.lane
  left join awa.queue q on q.name = l.queue
  where last.finished_at <= clock_timestamp() - make_interval(secs => case
          when last.outcome in (3, 6) then coalesce(q.retention_completed_h * 3600, %(completed_s)s)
          when last.outcome = 5 then coalesce(q.retention_failed_h * 3600, %(failed_s)s) end)
    and not exists (select from awa.dlq d where d.job_id = h.id)
), bodies as (
  delete from awa.held h using ended e where h.id = e.id returning h.id
), attempts as (
  delete from awa.attempt_log a using ended e where a.job_id = e.id
), claims as (
  delete from awa.unique_claim u using ended e where u.job_id = e.id
), routes as (
  delete from awa.rerouted r using ended e where r.job_id = e.id
)
select count(*)::int as jobs from bodies;

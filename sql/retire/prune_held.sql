-- Forget held jobs, with their attempts, if their retention has (still) passed.
-- Parameters: ids (locked by retire/prune_ripe.sql), completed_s, failed_s.
with ended as materialized (
  select id from unnest(%(ids)s::bigint[]) as h(id)
  cross join lateral (select a.outcome, a.finished_at from awa.attempt_log a where a.job_id = h.id
                      order by a.round desc, a.attempt desc limit 1) last
  where last.outcome in (3, 6) and last.finished_at <= clock_timestamp() - make_interval(secs => %(completed_s)s)
     or last.outcome = 5 and last.finished_at <= clock_timestamp() - make_interval(secs => %(failed_s)s)
), bodies as (
  delete from awa.held h using ended e where h.id = e.id returning h.id
), attempts as (
  delete from awa.attempt_log a using ended e where a.job_id = e.id
)
select count(*)::int as jobs from bodies;

-- Forget failed jobs, with all their attempts, for good.
-- Parameters: ids bigint[]; dead (true: only dead letters; false: only others).
-- Returns how many. Runs behind ended/lock.sql in one transaction.
with failed as materialized (
  select u.id from unnest(%(ids)s::bigint[]) as u(id)
  cross join lateral (select a.outcome from awa.every_attempt a where a.job_id = u.id
                      order by a.retry_round desc, a.attempt desc limit 1) a
  where a.outcome = 5 and %(dead)s = exists (select from awa.dlq d where d.job_id = u.id)
), letters as (
  delete from awa.dlq where job_id = any (array(select id from failed))
), claims as (
  delete from awa.unique_claim where job_id = any (array(select id from failed))
), routes as (
  delete from awa.job_override where job_id = any (array(select id from failed))
), attempts as (
  delete from awa.attempt_log where job_id = any (array(select id from failed))
), old_attempts as (
  delete from awa.attempt_archive where job_id = any (array(select id from failed))
), logged as (
  delete from awa.job_log where id = any (array(select id from failed))
), kept as (
  delete from awa.job_archive where id = any (array(select id from failed))
)
select count(*)::int as jobs from failed;

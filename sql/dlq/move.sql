-- Put failed jobs into the dead-letter queue by hand.
-- Parameters: ids bigint[], reason. Returns those that were put there. Runs behind
-- ended/lock.sql in one transaction.
with moved as (
  insert into awa.dlq (job_id, lane, runs, reason)
  select u.id, f.lane, (select count(*) from awa.every_attempt a where a.job_id = u.id and a.started_at is not null), %(reason)s
  from unnest(%(ids)s::bigint[]) as u(id)
  cross join lateral (select a.lane, a.outcome from awa.every_attempt a where a.job_id = u.id
                      order by a.retry_round desc, a.attempt desc limit 1) f
  where f.outcome = 5
  on conflict (job_id) do nothing
  returning job_id
), noted as (
  -- Its segment may be leaving, and have been looked at before.
  insert into awa.changed (job_id) select job_id from moved
)
select job_id from moved;

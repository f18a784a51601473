-- Cancel a job that this very transaction has inserted and that is in no batch: no worker
-- else can see it, and no seal will: without an xid it never meets one.
-- Runs behind control/cancel, which has not found it. Parameters: id, error (jsonb).
-- Returns nothing where another transaction inserted the job.
with own as materialized (
  update awa.job_log set xid = null where id = %(id)s and xid = pg_current_xact_id_if_assigned()
  returning queue, kind, priority
), new_lane as (
  insert into awa.lane (queue, kind, priority)
  select queue, kind, priority from own o
  where not exists (select from awa.lane l where l.queue = o.queue and l.kind = o.kind and l.priority = o.priority)
  returning id
), found as materialized (
  select coalesce((select min(l.id) from awa.lane l where l.queue = o.queue and l.kind = o.kind and l.priority = o.priority),
                  (select id from new_lane)) as lane
  from own o
), let_go as (
  delete from awa.unique_claim where key = any (array(
    select key from awa.unique_claim where job_id = %(id)s and (states >> 6) & 1 = 0 and exists (select from own)
    for update skip locked))
), counted as (
  insert into awa.outcome_count (minute, lane, outcome, jobs) select date_trunc('minute', now()), lane, 6, 1 from found
), attempted as (
  insert into awa.attempt_log (job_id, finished_at, lane, retry_round, attempt, outcome, error)
  select %(id)s, clock_timestamp(), lane, 0, 1, 6, %(error)s::jsonb from found
)
select false as was_running from found;

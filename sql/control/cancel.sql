-- Cancel a job that waits in deferred, in its line or in the (locked) batch. One that is being
-- run is marked at once: its worker's settle will be refused, and the supervisor of
-- that worker is told (worker and job id), so that the handler may know. Where no two
-- of a line may run at a time, the next one waits until it has stopped.
-- Runs behind ended/lock.sql in one transaction: a session that is replacing the job waits, or
-- is waited for. Parameters: id, batch (null: deferred), error (jsonb).
with aside as (
  delete from awa.deferred where job_id = %(id)s returning lane, retry_round, attempt, null::timestamptz as leased_at, null::int as owner
), in_line as (
  delete from awa.key_line where job_id = %(id)s and state = 1
  returning lane, retry_round, attempt, null::timestamptz as leased_at, null::int as owner, queue, key
), spot as materialized (
  select id, lane, retry_round, leased_at, owner, array_position(ids, %(id)s) as pos, ids, attempts
  from awa.batch where id = %(batch)s and %(id)s = any (ids)
), shrunk as (
  update awa.batch b set ids = array_remove(s.ids, %(id)s), attempts = s.attempts[: s.pos - 1] || s.attempts[s.pos + 1 :]
  from spot s where b.id = s.id and cardinality(s.ids) > 1
), emptied as (
  delete from awa.batch b using spot s where b.id = s.id and cardinality(s.ids) = 1
), found as materialized (
  select lane, retry_round, attempt, leased_at, owner from aside
  union all
  select lane, retry_round, attempt, leased_at, owner from in_line
  union all
  select lane, retry_round, coalesce(attempts[pos], 0), leased_at, owner from spot
), stopping as (
  update awa.key_line n set state = 4
  where n.job_id = %(id)s and n.state = 2 and exists (select from found where owner is not null)
    and exists (select from awa.queue q where q.name = n.queue and q.serial)
  returning 1
), left_line as (
  delete from awa.key_line
  where job_id = %(id)s and state <> 1 and exists (select from found) and not exists (select from stopping)
  returning queue, key
), freed as (
  insert into awa.key_freed (queue, key) select queue, key from in_line union select queue, key from left_line
), let_go as (
  delete from awa.unique_claim where key = any (array(
    select key from awa.unique_claim where job_id = %(id)s and (states >> 6) & 1 = 0 and exists (select from found)
    for update skip locked))
), in_time as (
  delete from awa.job_expiry where job_id = %(id)s and exists (select from found)
), counted as (
  insert into awa.outcome_count (minute, lane, outcome, jobs) select date_trunc('minute', now()), lane, 6, 1 from found
), attempted as (
  insert into awa.attempt_log (job_id, started_at, finished_at, worker, lane, retry_round, attempt, outcome, error)
  select %(id)s, leased_at, clock_timestamp(), owner, lane, retry_round, attempt + 1, 6, %(error)s::jsonb from found
)
select owner is not null as was_running,
       case when owner is not null then pg_notify('awa:cancel', owner || ' ' || %(id)s) end
from found;

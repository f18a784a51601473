-- Take the lease of a dead worker apart: the job that was running has spent its
-- attempt and is retried (or failed, when that was its last), the untouched ones
-- become ready again at their old place, with no attempt spent.
--
-- Parameters: worker; suspect (the job that was running; 0 = none was; null =
--   unknown, then it is the first unsettled one, because a lease is worked in
--   order; so it is when the named one neither is in the lease nor has ended or been
--   cancelled there: a handler has forged that, and would run for ever); reason (text); details jsonb (signal, exit code, or {}); started
--   (microseconds since the epoch, or null), cpu (microseconds), peak (KiB);
--   at_once (in its first so many attempts the job is retried without delay, later
--   ones wait for the usual back-off, so that a job that kills its process does not
--   do so in a tight loop); may_retry (false: it fails, whatever attempts are left).
-- A job that failed goes to the dead-letter queue, with the reason, if its queue has
-- that.
--   blamed (whether the job is the likely cause of its worker's death).
-- deaths: how many workers jobs of this kind have killed in the last ten minutes,
-- this one included (index outcome_count_deaths).
-- Runs behind settle/lock.sql in one transaction. It locks once more what it reads:
-- a worker that only seems dead may have claimed another batch in between, and be
-- settling it.
with lease as materialized (
  select id, sort_at, lane, retry_round, lease_pos, leased_at, ids, attempts
  from awa.batch where owner = %(worker)s for update
), held as materialized (
  select l.*, u.job_id, coalesce(u.attempt, 0)::smallint as attempt, u.pos
  from lease l cross join lateral unnest(l.ids, l.attempts) with ordinality as u(job_id, attempt, pos)
), suspect as materialized (
  select h.*, b.max_attempts, h.attempt + 1 >= b.max_attempts or not %(may_retry)s as exhausted,
         case when h.attempt < %(at_once)s then interval '0' else
           least(interval '24 hours', make_interval(secs => power(2, least(h.attempt + 1, 20)) * (1 + random() * 0.25))) end as delay
  from held h join awa.stored_job b on b.id = h.job_id
  where h.job_id = %(suspect)s
     or (%(suspect)s::bigint is null
         or %(suspect)s <> 0 and not exists (select from held where job_id = %(suspect)s)
            and not exists (select from awa.every_attempt a where a.job_id = %(suspect)s and a.worker = %(worker)s))
        and h.job_id = (select job_id from held order by lease_pos, id, pos limit 1)
), spent as (
  insert into awa.attempt_log (job_id, started_at, finished_at, worker, lane, cpu_s, peak_kb, retry_round, attempt, outcome, error)
  select job_id, coalesce(to_timestamp(%(started)s::bigint / 1e6), leased_at), clock_timestamp(), %(worker)s, lane,
         %(cpu)s::bigint / 1e6, %(peak)s::int, retry_round, attempt + 1, case when exhausted then 5 else 4 end,
         %(details)s::jsonb || jsonb_build_object('error', %(reason)s::text, 'attempt', attempt + 1, 'at', to_char(
           clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
  from suspect
), counted as (
  insert into awa.outcome_count (minute, lane, outcome, jobs, deaths)
  select date_trunc('minute', now()), lane, case when exhausted then 5 else 4 end, 1, %(blamed)s::boolean::int from suspect
), at_once as (
  -- A microsecond earlier: the jobs of one bulk insert share their sort_at, and
  -- behind them all, where a new batch would stand, is not the job's old place.
  insert into awa.batch (sort_at, lane, retry_round, ids, attempts)
  select sort_at - interval '1 microsecond', lane, retry_round, array[job_id], array[(attempt + 1)::smallint] from suspect
  where not exhausted and delay = interval '0'
), put_aside as (
  insert into awa.deferred (job_id, run_at, lane, retry_round, attempt, why)
  select job_id, now() + delay, lane, retry_round, attempt + 1, 'retry' from suspect
  where not exhausted and delay > interval '0'
), dead_lettered as (
  insert into awa.dlq (job_id, lane, reason, runs)
  select s.job_id, s.lane, %(reason)s::text, 1
         + (select count(*) from awa.every_attempt a where a.job_id = s.job_id and a.started_at is not null)
  from suspect s join awa.lane l on l.id = s.lane join awa.queue q on q.name = l.queue
  where s.exhausted and q.dlq
  returning job_id
), let_go as (
  delete from awa.unique_claim where key = any (array(
    select u.key from awa.unique_claim u join suspect s on s.job_id = u.job_id
    where (s.exhausted or s.delay > interval '0') and (u.states >> case when s.exhausted then 5 else 4 end) & 1 = 0
    for update of u skip locked))
), in_time as (
  delete from awa.job_expiry where job_id = any (array(select job_id from suspect))
), left_line as (
  delete from awa.key_line where job_id = any (array(select job_id from suspect where exhausted)) returning queue, key
), stepped_aside as (
  -- Retried at once, or where a retry holds the line, it is the head again.
  update awa.key_line n
  set state = case when s.delay = interval '0' or coalesce(q.block_on_retry, false) then 2 else 0 end,
      attempt = s.attempt + 1
  from suspect s join awa.lane l on l.id = s.lane left join awa.queue q on q.name = l.queue
  where n.job_id = s.job_id and not s.exhausted and n.job_id = any (array(select job_id from suspect))
  returning n.queue, n.key
), freed_lines as (
  insert into awa.key_freed (queue, key) select queue, key from left_line union select queue, key from stepped_aside
), rest as materialized (
  select h.id, array_agg(h.job_id order by h.pos) as ids, array_agg(h.attempt order by h.pos) as attempts
  from held h where not exists (select from suspect s where s.job_id = h.job_id) group by h.id
), freed as (
  update awa.batch b set owner = null, leased_at = null, lease_pos = null, ids = r.ids, attempts = r.attempts
  from rest r where b.id = r.id and b.id = any (array(select id from rest))
), emptied as (
  delete from awa.batch where id = any (array(select id from suspect except select id from rest))
)
select (select job_id from suspect) as suspect, (select exhausted from suspect) as exhausted,
       coalesce((select sum(cardinality(ids)) from rest), 0)::int as returned, exists (select from dead_lettered) as dead_lettered,
       (select l.kind from suspect s join awa.lane l on l.id = s.lane) as kind,
       (select 1 + coalesce((select sum(t.deaths) from awa.outcome_count t join awa.lane o on o.id = t.lane
                             where t.deaths > 0 and t.minute > now() - interval '10 minutes' and o.kind = l.kind), 0)
        from suspect s join awa.lane l on l.id = s.lane where %(blamed)s)::int as deaths;

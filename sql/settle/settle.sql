-- Record outcomes of leased jobs. Only ids still in a lease of this worker are
-- accepted; the rest were cancelled, rescued or settled before, and the caller
-- learns which by their absence from the answer.
--
-- Parameters, parallel arrays but for worker, since, within and the last two: worker;
--   since (as settle/lock); within (true: a handler completes its own job, and goes
--   on); ids bigint[]; outcomes smallint[] (JobState numbers; 0 = snoozed, which leaves
--   no attempt, or, where it was not started, put aside by its worker); started,
--   finished bigint[] (microseconds since the epoch; -1: not started; -2: nor does it leave its line); cpu bigint[]
--   (microseconds); peak int[] (KiB); delays bigint[] (microseconds until the
--   next run of a retryable or snoozed job); payload_ids bigint[] with payloads
--   jsonb[]: result or error of the few that have one.
-- Unique keys are let go by jobs whose mask leaves the new state out, and lines by
-- jobs that have ended or step aside.
-- Runs behind settle/lock.sql in one transaction. An attempt's primary key is the
-- second guard.
-- Microseconds are divided as float8: a numeric becomes one by way of its text.
-- Index: batch_leased (owner, leased_at), then the primary key, by "= any (array)":
-- with a plain join, statistics from before a burst of new batches made the planner
-- hash the whole table at every settle (20,000 batches: 230 pages against 4).
with lease as materialized (
  select id, lane, retry_round, ids, attempts from awa.batch
  where owner = %(worker)s and leased_at >= %(since)s::timestamptz
), held as materialized (
  select l.id as batch, l.lane, l.retry_round, u.job_id, coalesce(u.attempt, 0)::smallint as attempt, u.pos
  from lease l cross join lateral unnest(l.ids, l.attempts) with ordinality as u(job_id, attempt, pos)
), given as materialized (
  select * from unnest(%(ids)s::bigint[], %(outcomes)s::smallint[], %(started)s::bigint[], %(finished)s::bigint[],
                       %(cpu)s::bigint[], %(peak)s::int[], %(delays)s::bigint[])
    as g(job_id, outcome, started, finished, cpu, peak, delay)
), payload as materialized (
  select * from unnest(%(payload_ids)s::bigint[], %(payloads)s::jsonb[]) as p(job_id, payload)
), accepted as materialized (
  select h.*, g.outcome, g.started, g.finished, g.cpu, g.peak, g.delay from held h join given g using (job_id)
), touched as materialized (
  select batch, count(*) as jobs from accepted group by batch
), parted as materialized (
  select t.batch from touched t join lease l on l.id = t.batch where t.jobs < cardinality(l.ids)
), remaining as materialized (
  select h.batch, array_agg(h.job_id order by h.pos) as ids, array_agg(h.attempt order by h.pos) as attempts
  from held h
  where h.batch = any (array(select batch from parted))
    and not exists (select from accepted a where a.job_id = h.job_id)
  group by h.batch
), shrunk as (
  update awa.batch b set ids = r.ids, attempts = r.attempts from remaining r
  where b.id = r.batch and b.id = any (array(select batch from remaining))
), ended as (
  delete from awa.batch b
  where b.id = any (array(select batch from touched except select batch from remaining))
), attempted as (
  insert into awa.attempt_log (job_id, started_at, finished_at, worker, lane, cpu_s, peak_kb,
                               retry_round, attempt, outcome, error, result)
  select a.job_id, to_timestamp(case when a.started >= 0 then a.started end / 1e6::float8),
         to_timestamp(a.finished / 1e6::float8), %(worker)s, a.lane, a.cpu / 1e6::float8, a.peak, a.retry_round,
         a.attempt + 1, a.outcome,
         case when a.outcome <> 3 then p.payload end, case when a.outcome = 3 then p.payload end
  from accepted a left join payload p using (job_id)
  where a.outcome <> 0
), put_aside as (
  insert into awa.deferred (job_id, run_at, lane, retry_round, attempt, why)
  select job_id, now() + delay * interval '1 microsecond', lane, retry_round,
         attempt + (outcome = 4)::int,
         case when outcome = 4 then 'retry' when started < 0 then 'scheduled' else 'snooze' end
  from accepted where outcome in (0, 4)
), counted as (
  insert into awa.outcome_count (minute, lane, outcome, jobs)
  select date_trunc('minute', now()), lane, outcome, count(*) from accepted where outcome <> 0 group by lane, outcome
), keyed as materialized (
  -- Lanes without unique keys, and without lines, cost one look at an empty index each.
  select job_id, outcome from accepted
  where lane = any (array(select id from awa.lane where is_unique)) and not (outcome = 0 and started < 0)
), let_go as (
  -- Skip locked keys: a concurrent insert is taking them over.
  delete from awa.unique_claim where key = any (array(
    select u.key from awa.unique_claim u join keyed k on k.job_id = u.job_id
    where u.job_id = any (array(select job_id from keyed)) and (u.states >> k.outcome) & 1 = 0
    for update of u skip locked))
), has_begun as (
  -- A snooze leaves no attempt, yet such a job is neither replaced nor too late any more.
  update awa.unique_claim u set states = u.states | 256 where u.key = any (array(
    select n.key from awa.unique_claim n
    where n.job_id = any (array(select job_id from keyed where outcome = 0)) and n.states & 257 = 1
    for update skip locked))
), in_time as (
  -- As with keys, lanes without jobs that expire cost one look at a small index. Waits for expire/expire.sql,
  -- which waits for nothing.
  delete from awa.job_expiry where job_id = any (array(
    select job_id from accepted
    where lane = any (array(select id from awa.lane where is_expiring or is_unique)) and not (outcome = 0 and started < 0)))
), lined as materialized (
  select a.job_id, a.attempt + (a.outcome = 4)::int as attempt, a.outcome in (0, 4) as comes_back,
         case when a.started = -1 then false else coalesce(q.block_on_retry, false) or a.started = -2 end as holds,
         coalesce(q.serial, false) and %(within)s as goes_on
  from accepted a join awa.lane l on l.id = a.lane left join awa.queue q on q.name = l.queue
  where a.lane = any (array(select id from awa.lane where is_ordered))
), left_line as (
  delete from awa.key_line where job_id = any (array(select job_id from lined where not comes_back and not goes_on))
  returning queue, key
), stopping as (
  update awa.key_line set state = 4 where job_id = any (array(select job_id from lined where not comes_back and goes_on))
), stepped_aside as (
  update awa.key_line n set state = case when d.holds then 2 else 0 end, attempt = d.attempt from lined d
  where d.comes_back and n.job_id = d.job_id and n.job_id = any (array(select job_id from lined where comes_back))
  returning n.queue, n.key
), freed as (
  insert into awa.key_freed (queue, key) select queue, key from left_line union select queue, key from stepped_aside
)
select array(select job_id from accepted) as accepted;

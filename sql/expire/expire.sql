-- Cancel jobs that were not started by their expires_at, wherever they wait.
--
-- Parameters: jobs_max (of one step); error (jsonb).
-- Index: job_expiry_at (expires_at, job_id).
-- One that a worker has leased is left to that worker, which looks at the time
-- before it starts it. A locked row is left alone until the next round,
-- and so is a job that is not sealed yet. The body has the last word: a replaced job
-- may have another time.
-- A locked body may be being replaced: it is left alone, too.
-- Of a job with two rows (a replacement brought the earlier one), only what is locked here is
-- changed: a settle that deletes both holds one and waits for the other.
with due as materialized (
  select ctid as spot, job_id from awa.job_expiry where expires_at <= now() order by expires_at, job_id
  limit %(jobs_max)s for update skip locked
), logged as materialized (
  select id, expires_at from awa.job_log
  where id = any (array(select job_id from due)) order by id for key share skip locked
), kept as materialized (
  select id, expires_at from awa.job_archive
  where id = any (array(select job_id from due)) order by id for key share skip locked
), known as materialized (
  select d.job_id, b.expires_at, b.id is not null as is_free,
         exists (select from awa.every_attempt a where a.job_id = d.job_id)
           or case when b.id is not null then b.expires_at is null
                   else not exists (select from awa.stored_job w where w.id = d.job_id) end as is_over
  from (select distinct job_id from due) d
  left join (select * from logged union all select * from kept) b on b.id = d.job_id
), postponed as (
  update awa.job_expiry e set expires_at = k.expires_at from known k
  where e.ctid = any (array(select spot from due)) and e.job_id = k.job_id and k.is_free and not k.is_over and k.expires_at > now()
), candidate as materialized (
  select job_id from known where is_free and not is_over and expires_at <= now()
), aside as (
  delete from awa.deferred where job_id = any (array(
    select d.job_id from awa.deferred d where d.job_id = any (array(select job_id from candidate)) for update skip locked))
  returning job_id, lane, retry_round, attempt
), in_line as (
  delete from awa.key_line where job_id = any (array(
    select n.job_id from awa.key_line n
    where n.job_id = any (array(select job_id from candidate)) and n.state = 1 for update skip locked))
  returning job_id, lane, retry_round, attempt, queue, key
), held as materialized (
  select id, lane, retry_round, ids, attempts from awa.batch
  where owner is null and exists (select from candidate) and ids && array(select job_id from candidate)
  for update skip locked
), part as materialized (
  select h.id, h.lane, h.retry_round, u.job_id, coalesce(u.attempt, 0)::smallint as attempt, u.pos,
         u.job_id = any (array(select job_id from candidate)) as goes
  from held h cross join lateral unnest(h.ids, h.attempts) with ordinality as u(job_id, attempt, pos)
), rest as materialized (
  select id, array_agg(job_id order by pos) as ids, array_agg(attempt order by pos) as attempts
  from part where not goes group by id
), shrunk as (
  update awa.batch b set ids = r.ids, attempts = r.attempts from rest r where b.id = r.id
), emptied as (
  delete from awa.batch where id = any (array(select id from held except select id from rest))
), found as materialized (
  select job_id, lane, retry_round, attempt from aside
  union all select job_id, lane, retry_round, attempt from in_line
  union all select job_id, lane, retry_round, attempt from part where goes
), left_line as (
  delete from awa.key_line where state <> 1 and job_id = any (array(select job_id from found)) returning queue, key
), freed as (
  insert into awa.key_freed (queue, key) select queue, key from in_line union select queue, key from left_line
), let_go as (
  delete from awa.unique_claim where key = any (array(
    select key from awa.unique_claim where job_id = any (array(select job_id from found)) and (states >> 6) & 1 = 0
    for update skip locked))
), left_alone as (
  -- Looked at again in a moment, so that they are not in the way of the others.
  update awa.job_expiry e set expires_at = now() + interval '1 second'
  from (select job_id from known where not is_over and (not is_free or expires_at <= now())
        except select job_id from found) l
  where e.ctid = any (array(select spot from due)) and e.job_id = l.job_id
), done as (
  delete from awa.job_expiry where ctid = any (array(
    select e.ctid from awa.job_expiry e
    where e.job_id = any (array(select job_id from found union all select job_id from known where is_over))
    for update skip locked))
), counted as (
  insert into awa.outcome_count (minute, lane, outcome, jobs)
  select date_trunc('minute', now()), lane, 6, count(*) from found group by lane
), attempted as (
  insert into awa.attempt_log (job_id, finished_at, lane, retry_round, attempt, outcome, error)
  select job_id, clock_timestamp(), lane, retry_round, attempt + 1, 6, %(error)s::jsonb from found
)
select array(select job_id from found order by job_id) as expired, (select count(*)::int from due) as looked_at;

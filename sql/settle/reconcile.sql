-- Make a lease agree with what is on record, for jobs whose outcome met a row that is
-- there already: a job that has ended, or is put aside, leaves the lease; one whose
-- attempts were counted too low goes on behind its last one.
--
-- Parameters: worker; ids bigint[] (null: the whole lease). Returns the jobs that left.
-- Runs behind settle/lock.sql in one transaction, and only after the server has refused
-- to settle or to rescue them: nothing but a restore or a hand in the tables makes such
-- jobs, so that others pay nothing for it.
-- Index: batch_leased (owner, leased_at), then primary keys.
with lease as materialized (
  select id, retry_round, ids, attempts from awa.batch where owner = %(worker)s
), held as materialized (
  select l.id as batch, u.job_id, u.pos, coalesce(u.attempt, 0) as attempt,
         coalesce(%(ids)s::bigint[] is null or u.job_id = any (%(ids)s::bigint[]), false) as is_asked,
         (select max(a.attempt) from awa.every_attempt a
          where a.job_id = u.job_id and a.retry_round = l.retry_round and a.outcome <> 1) as last,
         coalesce((select a.outcome in (3, 5, 6) from awa.every_attempt a where a.job_id = u.job_id
                   order by a.retry_round desc, a.attempt desc limit 1), false)
           or exists (select from awa.deferred d where d.job_id = u.job_id) as is_elsewhere
  from lease l cross join lateral unnest(l.ids, l.attempts) with ordinality as u(job_id, attempt, pos)
), kept as materialized (
  select batch, array_agg(job_id order by pos) as ids,
         array_agg(case when is_asked then greatest(attempt, coalesce(last, 0)) else attempt end order by pos)::smallint[]
           as attempts
  from held where not (is_asked and is_elsewhere) group by batch
), shrunk as (
  update awa.batch b set ids = k.ids, attempts = k.attempts from kept k where b.id = k.batch
), emptied as (
  delete from awa.batch where id = any (array(select id from lease except select batch from kept))
)
select array(select job_id from held where is_asked and is_elsewhere) as gone;

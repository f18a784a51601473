-- Hand unstarted jobs of a lease back: ready again, at their old place, no
-- attempt spent. Parameters: worker, keep bigint[] (ids to stay leased, or null
-- to release everything). Returns the jobs handed back. Runs behind
-- settle/lock.sql in one transaction.
with lease as materialized (
  select id, sort_at, lane, retry_round, leased_at, ids, attempts from awa.batch where owner = %(worker)s
), held as materialized (
  select l.id as batch, u.job_id, coalesce(u.attempt, 0)::smallint as attempt, u.pos,
         coalesce(u.job_id = any (%(keep)s::bigint[]), false) as stays
  from lease l cross join lateral unnest(l.ids, l.attempts) with ordinality as u(job_id, attempt, pos)
), part as materialized (
  select batch, stays, array_agg(job_id order by pos) as ids, array_agg(attempt order by pos) as attempts
  from held group by batch, stays
), freed as (
  update awa.batch b set owner = null, leased_at = null, lease_pos = null, ids = p.ids, attempts = p.attempts
  from part p where p.batch = b.id and not p.stays
), kept as (
  -- a batch of which some stay: the freed part keeps the row, these get their own
  insert into awa.batch (sort_at, leased_at, owner, lane, retry_round, lease_pos, ids, attempts)
  select l.sort_at, l.leased_at, %(worker)s, l.lane, l.retry_round, 0, p.ids, p.attempts
  from part p join lease l on l.id = p.batch
  where p.stays and exists (select from part f where f.batch = p.batch and not f.stays)
)
select coalesce(sum(cardinality(ids)), 0)::int as jobs from part where not stays;

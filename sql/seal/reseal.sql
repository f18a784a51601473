-- One step of sealing what was restored from another cluster: jobs with ids above
-- restored.above, up to restored.upto. Their xids mean nothing here, but they do beside the
-- ledger they came with, so they are read as seal/seal.sql reads new ones: what the other
-- cluster had not sealed is what its last snapshot does not show. That reads no job
-- that was sealed, and changes no row. Ids above upto are sealed by seal/seal.sql
-- meanwhile, and those up to it never (seal.foreign_id).
-- The second pass is for jobs inserted in this cluster before it knew of the restore:
-- their xids are of this one, from restored.since on. Few rows have such xids; of these,
-- the unsealed ones are in no batch, not deferred, in no line, and without an attempt.
-- It is repeated as transactions end that then had an id and were open.
--
-- Parameters: jobs_max (of one step), rows_max (looked at in the second pass), batch_max.
-- Index: job_log_xid (xid, id), by all three scans: "xid is not null" because the index is
-- partial, and comparing rows does not imply that to the planner; "id + 0" because the
-- range of ids is nearly the whole log, and the primary key must not be tempting: a
-- step that reads and sorts all that was restored makes the whole take its square.
-- Runs under seal/lock.sql, behind seal/reseal_open.sql.
-- Returns the jobs sealed, whether there is more to do now, whether lines have
-- changed, and whether all of that restore has been done (with all jobs it sealed).
with job as materialized (
  select * from awa.restored where current_setting('awa.sealer', true) = 'true' order by upto limit 1
), old as materialized (
  select *, greatest(at_xid, pg_snapshot_xmax(snapshot)) as from_xid,
         case when at_xid >= pg_snapshot_xmax(snapshot) then at_id else 0 end as from_id
  from job where not foreign_done
), own as materialized (
  select *, greatest(at_xid, since) as from_xid, case when at_xid >= since then at_id else 0 end as from_id,
         case when since = '3' then '18446744073709551615'::xid8 else pg_snapshot_xmax(pg_current_snapshot()) end as end_xid
  from job where foreign_done and not own_done
), unsealed as materialized (
  select * from (
    (select j.*
     from old cross join lateral (
       select xid, id, created_at, run_at, queue, kind, priority, expires_at, unique_states, ordering_key
       from awa.job_log
       where xid is not null and id + 0 > old.above and id + 0 <= old.upto and (xid, id) > (old.from_xid, old.from_id)
         and (old.target is null or (xid, id) > (old.cursor_xid, old.cursor_id) or not pg_visible_in_snapshot(xid, old.target))
       order by xid, id limit %(jobs_max)s
     ) j)
    union all
    (select late.*
     from (select old.*, xip, case when xip = at_xid then at_id else 0 end as past
           from old cross join lateral pg_snapshot_xip(snapshot) as xip where xip >= at_xid) open
     cross join lateral (
       select j.xid, j.id, j.created_at, j.run_at, j.queue, j.kind, j.priority, j.expires_at, j.unique_states,
              j.ordering_key
       from awa.job_log j
       where j.xid is not null and j.id + 0 > open.above and j.id + 0 <= open.upto
         and (j.xid, j.id) > (open.xip, open.past) and (j.xid, j.id) <= (open.xip, 9223372036854775807)
         and (open.target is null or (j.xid, j.id) > (open.cursor_xid, open.cursor_id)
              or not pg_visible_in_snapshot(j.xid, open.target))
       order by j.xid, j.id limit %(jobs_max)s
     ) late)
  ) found order by xid, id limit %(jobs_max)s
), looked as materialized (
  select j.*
  from own cross join lateral (
    select xid, id, created_at, run_at, queue, kind, priority, expires_at, unique_states, ordering_key
    from awa.job_log
    where xid is not null and id + 0 > own.above and id + 0 <= own.upto and (xid, id) > (own.from_xid, own.from_id) and (xid, id) < (own.end_xid, 0)
    order by xid, id limit %(rows_max)s
  ) j
), doubtful as materialized (
  select * from looked c
  where not exists (select from awa.attempt_log a where a.job_id = c.id)
    and not exists (select from awa.deferred d where d.job_id = c.id)
    and not exists (select from awa.key_line l where l.job_id = c.id)
), batched as materialized (
  -- Reads every batch, if there is any doubt, and keeps only what is asked for: "is true" because
  -- a join would make its table of the doubtful ones again for each batch.
  select u.id from awa.batch b cross join lateral unnest(b.ids) as u(id)
  where (select count(*) > 0 from doubtful) and (u.id in (select id from doubtful)) is true
), fresh as materialized (
  select * from unsealed
  union all
  select * from doubtful d where not exists (select from batched b where b.id = d.id)
), last as materialized (
  select xid, id from (select xid, id from unsealed union all select xid, id from looked) l order by xid desc, id desc limit 1
), step as materialized (
  select job.upto, job.foreign_done, job.jobs + (select count(*) from fresh) as jobs,
         case when job.foreign_done then (select count(*) from looked) >= %(rows_max)s and not job.own_done
              else (select count(*) from unsealed) >= %(jobs_max)s end as is_full,
         job.foreign_done and cardinality(job.holders) = 0 as is_final
  from job
), met as materialized (
  select queue, kind, priority, bool_or(unique_states is not null) as is_unique,
         bool_or(ordering_key is not null) as is_ordered, bool_or(expires_at is not null) as is_expiring
  from fresh group by queue, kind, priority
), new_lane as (
  insert into awa.lane (queue, kind, priority, is_unique, is_ordered, is_expiring)
  select queue, kind, priority, is_unique, is_ordered, is_expiring from met m
  where not exists (select from awa.lane l where l.queue = m.queue and l.kind = m.kind and l.priority = m.priority
                      and l.is_unique >= m.is_unique and l.is_ordered >= m.is_ordered and l.is_expiring >= m.is_expiring)
  returning id, queue, kind, priority, is_unique, is_ordered, is_expiring
), lanes as materialized (
  -- The oldest lane in which there may be such jobs.
  select m.queue, m.kind, m.priority, min(l.id) as id,
         min(min(l.id)) over (partition by m.queue, m.priority) as stream
  from met m
  join (select id, queue, kind, priority, is_unique, is_ordered, is_expiring from awa.lane union all select * from new_lane) l
    on l.queue = m.queue and l.kind = m.kind and l.priority = m.priority
   and l.is_unique >= m.is_unique and l.is_ordered >= m.is_ordered and l.is_expiring >= m.is_expiring
  group by m.queue, m.kind, m.priority
), placed as materialized (
  select f.id, f.run_at, l.id as lane, l.stream, f.queue, f.ordering_key, f.expires_at, f.unique_states,
         greatest(f.created_at, f.run_at) + awa.ageing(f.priority, q.ageing_s) as sort_at,
         f.run_at is null or f.run_at <= now() as due
  from fresh f
  join lanes l on l.queue = f.queue and l.kind = f.kind and l.priority = f.priority
  left join awa.queue q on q.name = f.queue
), ranked as (
  -- A batch ends where a job of another kind comes in between: so those of a queue
  -- and priority are run in the order in which they were inserted, whatever their
  -- kinds. What was inserted by one statement has no order, and is kept together.
  select id, lane, stream, sort_at, row_number() over in_order - 1 as pos,
         lag(lane) over in_order is distinct from lane as is_first
  from placed where due and ordering_key is null
  window in_order as (partition by stream order by sort_at, lane, id)
), run as (
  select id, lane, sort_at, pos,
         sum(is_first::int) over (partition by stream order by sort_at, lane, id rows unbounded preceding) as no
  from ranked
), batches as (
  insert into awa.batch (lane, sort_at, ids)
  select lane, min(sort_at), array_agg(id order by pos)
  from run
  group by lane, no, pos / %(batch_max)s
  order by min(sort_at), min(pos), lane
), later as (
  insert into awa.deferred (job_id, run_at, lane, why)
  select id, run_at, lane, 'scheduled' from placed where not due
), lined_up as (
  insert into awa.key_line (job_id, sort_at, lane, state, queue, key)
  select id, sort_at, lane, due::int, queue, ordering_key from placed where ordering_key is not null order by id
), lines as (
  insert into awa.key_freed (queue, key)
  select distinct queue, ordering_key from placed where ordering_key is not null and due
), let_go as (
  -- Keys held only while a job is scheduled, whose time came before it was sealed.
  delete from awa.unique_claim where key = any (array(
    select u.key from awa.unique_claim u
    where u.job_id = any (array(select id from placed where due and (unique_states >> 1) & 1 = 0))
    for update skip locked))
), expiring as (
  insert into awa.job_expiry (job_id, expires_at) select id, expires_at from placed where expires_at is not null
), moved_on as (
  update awa.restored r
  set jobs = s.jobs, foreign_done = s.foreign_done or not s.is_full, own_done = s.foreign_done and not s.is_full,
      at_xid = case when s.is_full then (select xid from last) else '0' end,
      at_id = case when s.is_full then (select id from last) else 0 end
  from step s where r.upto = s.upto and (s.is_full or not s.is_final)
), done as (
  delete from awa.restored r using step s where r.upto = s.upto and s.is_final and not s.is_full
)
select (select count(*)::int from fresh) as jobs,
       coalesce((select s.is_full or not s.foreign_done or s.is_final and (select count(*) > 1 from awa.restored) from step s), false) as more,
       exists (select from placed where ordering_key is not null) as lined_up,
       (select jobs from step where is_final and not is_full) as done;

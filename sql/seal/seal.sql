-- Route newly committed jobs: due ones into batches, future ones to deferred, those
-- with an ordering key into their line. unsettled: whether seal/replaced.sql and
-- seal/advance.sql have anything to look at. claimable: how many jobs were put into
-- batches that can be claimed now, by lane; fronts: the least sort_at of these.
--
-- Parameters: floor (no job below this id can still be unsealed), jobs_max (of
--   one step), batch_max (jobs a batch), force (write a ledger row even when
--   nothing was found, so that the cursor moves on).
-- Index: job_log_xid (xid, id), by row comparison alone: beside "xid >=" a btree
-- may start at the row bound, from the index's beginning; and ordered by both
-- columns, because "xid = ... order by id" invites the primary key. So would a second
-- bound of the id that the planner cannot see through: foreign_id is subtracted.
-- With S the sealed snapshot and T the one worked towards, the fresh jobs are
-- those visible in T whose xid is >= xmax(S), an index range, or in xip(S), a
-- few index probes. Ids would not do: they are taken before commit.
-- Reading in (xid, id) order lets a step stop after jobs_max and the next one
-- go on behind it, however large the transaction.
-- A ledger from another cluster, or from this one's future (a restored dump),
-- is reported and left alone: its xids mean nothing here. Ids up to foreign_id came
-- with such a one and are left to seal/reseal.sql (resealing: there are some to do).
with head as materialized (
  select generation, base_generation, snapshot, target, cursor_xid, cursor_id, foreign_id, system_id,
         pg_snapshot_xmax(snapshot) > pg_snapshot_xmax(pg_current_snapshot())
           or system_id <> (select system_identifier from pg_control_system()) as foreign_cluster
  from awa.seal_ledger order by generation desc limit 1
), aim as materialized (
  select generation + 1 as generation, snapshot, cursor_xid, cursor_id, foreign_id, system_id,
         greatest(cursor_xid, pg_snapshot_xmax(snapshot)) as from_xid,
         case when cursor_xid >= pg_snapshot_xmax(snapshot) then cursor_id else 0 end as from_id,
         case when target is null then generation + 1 else base_generation end as base_generation,
         target is not null as going_on,
         coalesce(target, pg_current_snapshot()) as target
  from head where current_setting('awa.sealer', true) = 'true' and not foreign_cluster
), fresh as materialized (
  select * from (
    (select xid, id, created_at, run_at, queue, kind, priority, expires_at, unique_states, ordering_key
     from awa.job_log
     where id >= %(floor)s and id - (select coalesce(foreign_id, 0) from aim) > 0
       and (xid, id) > ((select from_xid from aim), (select from_id from aim))
       and (xid, id) < ((select pg_snapshot_xmax(target) from aim), 0)
       and pg_visible_in_snapshot(xid, (select target from aim))
     order by xid, id limit %(jobs_max)s)
    union all
    (select late.*
     from (select xip as xid, case when xip = cursor_xid then cursor_id else 0 end as past
           from aim cross join lateral pg_snapshot_xip(snapshot) as xip where xip >= cursor_xid) open
     cross join lateral (
       select j.xid, j.id, j.created_at, j.run_at, j.queue, j.kind, j.priority, j.expires_at, j.unique_states,
              j.ordering_key
       from awa.job_log j
       where j.id >= %(floor)s and j.id - (select coalesce(foreign_id, 0) from aim) > 0
         and (j.xid, j.id) > (open.xid, open.past) and (j.xid, j.id) <= (open.xid, 9223372036854775807)
         and pg_visible_in_snapshot(j.xid, (select target from aim))
       order by j.xid, j.id limit %(jobs_max)s
     ) late)
  ) found order by xid, id limit %(jobs_max)s
), total as materialized (
  select count(*)::int as jobs, count(*) >= %(jobs_max)s as more from fresh
), last as materialized (
  select xid, id from fresh order by xid desc, id desc limit 1
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
  returning lane, cardinality(ids) as jobs, sort_at
), ready as (
  select lane, count(*)::int as batches, sum(jobs)::int as jobs, min(sort_at) as front from batches group by lane
), claimable as (
  select lane, jobs, front from ready
  where lane not in (select l.id from lanes l join awa.queue q on q.name = l.queue where q.paused_at is not null)
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
), ledger as (
  insert into awa.seal_ledger (generation, base_generation, snapshot, target, cursor_xid, cursor_id, jobs, system_id, foreign_id)
  select a.generation, a.base_generation,
         case when t.more then a.snapshot else a.target end,
         case when t.more then a.target end,
         case when t.more then (select xid from last) else '0' end,
         case when t.more then (select id from last) else 0 end,
         t.jobs, a.system_id, a.foreign_id
  from aim a, total t
  where t.jobs > 0 or a.going_on or %(force)s
)
select current_setting('awa.sealer', true) = 'true' as locked,
       coalesce((select foreign_cluster from head), true) as foreign_cluster,
       (select jobs from total) as jobs,
       -- Having finished what an earlier step began is a reason too: it left out what was committed since.
       (select more from total) or coalesce((select going_on from aim), false) as more,
       (select coalesce(sum(batches), 0)::int from ready) as batches,
       (select jsonb_object_agg(lane, jobs)::text from claimable) as claimable,
       (select jsonb_object_agg(lane, front::text)::text from claimable) as fronts,
       exists (select from placed where ordering_key is not null) or exists (select from awa.key_freed)
         or exists (select from awa.job_replaced) as unsettled,
       exists (select from awa.restored) as resealing,
       coalesce((select min(first_id) from awa.segment where not sealed), (select coalesce(max(end_id), 1) from awa.segment)) as floor;

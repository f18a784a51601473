-- Start the ledger anew in this cluster, after a restore from another one.
-- The xids of restored jobs mean nothing here, so what is unsealed is found by
-- elimination: in no batch, not deferred, and without any attempt.
--
-- Parameters: batch_max (jobs a batch). Reads the whole log once; runs under
-- seal/lock.sql. Restored rows get no new xid: the new snapshot covers every
-- committed row, and rows committed later have an xid it does not show.
-- Their xids may lie in this cluster's future, where a range scan would find
-- them a second time; so they are rewritten to xid 3, the oldest normal one.
with aim as materialized (
  select gen + 1 as gen, pg_current_snapshot() as snap
  from (select gen, snap, system_id from awa.seal order by gen desc limit 1) head
  where current_setting('awa.sealer', true) = 'true'
    and (pg_snapshot_xmax(snap) > pg_snapshot_xmax(pg_current_snapshot())
         or system_id <> (select system_identifier from pg_control_system()))
), known as materialized (
  select unnest(ids) as id from awa.batch
  union all select job_id from awa.deferred
  union all select job_id from awa.line
  union all select job_id from awa.attempt_log
), fresh as materialized (
  select j.id, j.created_at, j.run_at, j.queue, j.kind, j.priority, j.expires_at, j.unique_states, j.ordering_key
  from awa.job_log j
  where exists (select from aim) and not exists (select from known k where k.id = j.id)
), met as materialized (
  select queue, kind, priority, bool_or(unique_states is not null) as is_unique,
         bool_or(ordering_key is not null) as is_ordered
  from fresh group by queue, kind, priority
), new_lane as (
  insert into awa.lane (queue, kind, priority, is_unique, is_ordered)
  select queue, kind, priority, is_unique, is_ordered from met m
  where not exists (select from awa.lane l where l.queue = m.queue and l.kind = m.kind and l.priority = m.priority
                      and l.is_unique >= m.is_unique and l.is_ordered >= m.is_ordered)
  returning id, queue, kind, priority, is_unique, is_ordered
), lanes as materialized (
  -- The oldest lane in which there may be such jobs.
  select m.queue, m.kind, m.priority, min(l.id) as id,
         min(min(l.id)) over (partition by m.queue, m.priority) as stream
  from met m
  join (select id, queue, kind, priority, is_unique, is_ordered from awa.lane union all select * from new_lane) l
    on l.queue = m.queue and l.kind = m.kind and l.priority = m.priority
   and l.is_unique >= m.is_unique and l.is_ordered >= m.is_ordered
  group by m.queue, m.kind, m.priority
), placed as materialized (
  select f.id, f.run_at, l.id as lane, l.stream, f.queue, f.ordering_key, f.expires_at, f.unique_states,
         greatest(f.created_at, f.run_at) + awa.ageing(f.priority, q.ageing_s) as order_key,
         f.run_at is null or f.run_at <= now() as due
  from fresh f
  join lanes l on l.queue = f.queue and l.kind = f.kind and l.priority = f.priority
  left join awa.queue q on q.name = f.queue
), ranked as (
  -- A batch ends where a job of another kind comes in between: so those of a queue
  -- and priority are run in the order in which they were inserted, whatever their
  -- kinds. What was inserted by one statement has no order, and is kept together.
  select id, lane, stream, order_key, row_number() over in_order - 1 as pos,
         lag(lane) over in_order is distinct from lane as is_first
  from placed where due and ordering_key is null
  window in_order as (partition by stream order by order_key, lane, id)
), run as (
  select id, lane, order_key, pos,
         sum(is_first::int) over (partition by stream order by order_key, lane, id rows unbounded preceding) as no
  from ranked
), batches as (
  insert into awa.batch (lane, order_key, ids)
  select lane, min(order_key), array_agg(id order by pos)
  from run
  group by lane, no, pos / %(batch_max)s
  order by min(order_key), min(pos), lane
), later as (
  insert into awa.deferred (job_id, run_at, lane, why)
  select id, run_at, lane, 'scheduled' from placed where not due
), lined_up as (
  insert into awa.line (job_id, order_key, lane, state, queue, key)
  select id, order_key, lane, due::int, queue, ordering_key from placed where ordering_key is not null order by id
), lines as (
  insert into awa.line_freed (queue, key)
  select distinct queue, ordering_key from placed where ordering_key is not null and due
), let_go as (
  -- Keys held only while a job is scheduled, whose time came before it was sealed.
  delete from awa.unique_claim where key = any (array(
    select u.key from awa.unique_claim u
    where u.job_id = any (array(select id from placed where due and (unique_states >> 1) & 1 = 0))
    for update skip locked))
), expiring as (
  insert into awa.expiring (job_id, expires_at) select id, expires_at from placed where expires_at is not null
), aged as (
  update awa.job_log set xid = '3'
  where exists (select from aim) and not (xid < (select pg_snapshot_xmin(snap) from aim))
), ledger as (
  insert into awa.seal (gen, base_gen, snap, jobs, system_id)
  select gen, gen, snap, (select count(*) from fresh), (select system_identifier from pg_control_system()) from aim
)
select (select count(*)::int from fresh) as jobs, exists (select from aim) as is_done;

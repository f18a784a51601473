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
  union all select job_id from awa.attempt_log
), fresh as materialized (
  select j.id, j.created_at, j.run_at, j.queue, j.kind, j.priority
  from awa.job_log j
  where exists (select from aim) and not exists (select from known k where k.id = j.id)
), new_queue as (
  insert into awa.queue (name) select distinct queue from fresh f
  where not exists (select from awa.queue q where q.name = f.queue)
  on conflict do nothing
), new_lane as (
  insert into awa.lane (queue, kind, priority)
  select distinct queue, kind, priority from fresh f
  where not exists (select from awa.lane l
                    where l.queue = f.queue and l.kind = f.kind and l.priority = f.priority)
  on conflict (queue, kind, priority) do update set queue = excluded.queue
  returning id, queue, kind, priority
), lanes as materialized (
  select id, queue, kind, priority from awa.lane union select id, queue, kind, priority from new_lane
), placed as materialized (
  select f.id, f.run_at, l.id as lane,
         greatest(f.created_at, f.run_at) + awa.ageing(f.priority, q.ageing_s) as order_key,
         f.run_at is null or f.run_at <= now() as due,
         row_number() over (partition by l.id, f.run_at is null or f.run_at <= now() order by f.id) - 1 as pos
  from fresh f
  join lanes l on l.queue = f.queue and l.kind = f.kind and l.priority = f.priority
  left join awa.queue q on q.name = f.queue
), batches as (
  insert into awa.batch (lane, order_key, ids)
  select lane, min(order_key), array_agg(id order by id)
  from placed where due
  group by lane, pos / %(batch_max)s
  order by min(order_key), lane, pos / %(batch_max)s
), later as (
  insert into awa.deferred (job_id, run_at, lane, why)
  select id, run_at, lane, 'scheduled' from placed where not due
), aged as (
  update awa.job_log set xid = '3'
  where exists (select from aim) and not (xid < (select pg_snapshot_xmin(snap) from aim))
), ledger as (
  insert into awa.seal (gen, base_gen, snap, jobs, system_id)
  select gen, gen, snap, (select count(*) from fresh), (select system_identifier from pg_control_system()) from aim
)
select (select count(*)::int from fresh) as jobs, exists (select from aim) as is_done;

-- Begin a ledger of this cluster, after a restore from another one. Restored jobs have ids
-- up to awa.restored.upto, and are sealed step by step (seal/reseal.sql); jobs inserted from now on
-- have ids above it and xids of this cluster, and are sealed as always.
-- What the ledger said in the other cluster is kept beside it until that is done. since: no transaction of
-- this cluster inserted a job before the ledger was restored, by the transaction
-- that wrote its newest row. A restore that is not done yet was brought along: its rows
-- are judged by where they are alone, as xids of two clusters are mixed in them.
-- Runs under seal/lock.sql, as a statement of its own. Returns whether it has begun one.
with aim as materialized (
  select generation + 1 as generation, snapshot, target, cursor_xid, cursor_id, coalesce(foreign_id, 0) as foreign_id,
         greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint - age(xmin) - 1, 4) as since
  from (select *, xmin from awa.seal_ledger order by generation desc limit 1) head
  where current_setting('awa.sealer', true) = 'true'
    and (pg_snapshot_xmax(snapshot) > pg_snapshot_xmax(pg_current_snapshot())
         or system_id <> (select system_identifier from pg_control_system()))
), newest as materialized (
  select greatest((select last_value from awa.job_id), (select max(id) from awa.job_log)) as id where exists (select from aim)
), brought_along as (
  update awa.restored
  set since = '3', holders = null, at_xid = case when foreign_done then '0' else at_xid end,
      at_id = case when foreign_done then 0 else at_id end, own_done = false
  where exists (select from aim)
), begun as (
  insert into awa.restored (above, upto, snapshot, target, cursor_xid, cursor_id, since)
  select a.foreign_id, n.id, a.snapshot, a.target, a.cursor_xid, a.cursor_id, a.since::text::xid8 from aim a, newest n
  where n.id > a.foreign_id
)
insert into awa.seal_ledger (generation, base_generation, snapshot, jobs, system_id, foreign_id)
select a.generation, a.generation, pg_current_snapshot(), 0, (select system_identifier from pg_control_system()), n.id from aim a, newest n
returning generation;

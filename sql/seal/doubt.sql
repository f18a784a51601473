-- Doubt where the jobs are: have all those with ids up to the newest looked for one by
-- one, in steps, by seal/reseal.sql, and sealed where they are nowhere. For jobs whose ids
-- or xids are not what a seal relies on: the id sequence was behind, or rows were loaded
-- into a database in use. New jobs are sealed as always meanwhile.
-- Runs under seal/lock.sql. Returns nothing when this is not the sealer, or when jobs are
-- being looked for already.
with aim as materialized (
  select generation + 1 as generation, base_generation, snapshot, target, cursor_xid, cursor_id, system_id
  from (select * from awa.seal_ledger order by generation desc limit 1) head
  where current_setting('awa.sealer', true) = 'true' and not exists (select from awa.restored)
), newest as materialized (
  select greatest((select last_value from awa.job_id), (select max(id) from awa.job_log)) as id where exists (select from aim)
), begun as (
  insert into awa.restored (above, upto, snapshot, target, cursor_xid, cursor_id, since, foreign_done)
  select 0, n.id, a.snapshot, a.target, a.cursor_xid, a.cursor_id, '3', true from aim a, newest n
)
insert into awa.seal_ledger (generation, base_generation, snapshot, target, cursor_xid, cursor_id, jobs, system_id, foreign_id)
select a.generation, a.base_generation, a.snapshot, a.target, a.cursor_xid, a.cursor_id, 0, a.system_id, n.id from aim a, newest n
returning generation;

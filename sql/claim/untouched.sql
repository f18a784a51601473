-- Those of these leased jobs that are not being replaced at this moment: the others' bodies
-- are locked by a transaction that may change them. Sent before claim/bodies.sql, and
-- only for lanes with unique keys: who locks a body later finds the job leased.
-- Parameters: ids bigint[].
with logged as materialized (
  select id from awa.job_log where id = any (%(ids)s::bigint[]) order by id for key share skip locked
), kept as materialized (
  select id from awa.job_archive where id = any (%(ids)s::bigint[]) order by id for key share skip locked
)
select id from logged union all select id from kept;

-- As ended/lock.sql, for many jobs at a time: those that another session holds are left
-- to him. Parameter: ids bigint[]. Returns those that are locked now.
with logged as materialized (
  select id from awa.job_log where id = any (%(ids)s::bigint[]) order by id for update skip locked
), kept as materialized (
  select id from awa.job_archive where id = any (%(ids)s::bigint[]) order by id for update skip locked
)
select id from logged union all select id from kept;

-- Lock the bodies of jobs that have ended, wherever they are. What becomes of such a
-- job is decided behind this lock, in another statement, whose snapshot shows what
-- those did whom this one waited for. A segment cannot be dropped meanwhile.
-- Parameter: ids bigint[]. Returns those that exist.
with logged as materialized (
  select id from awa.job_log where id = any (%(ids)s::bigint[]) order by id for update
), kept as materialized (
  select id from awa.job_archive where id = any (%(ids)s::bigint[]) order by id for update
)
select id from logged union all select id from kept;

-- What the server added to jobs of this transaction. Parameters: ids bigint[].
select id, created_at, run_at, run_at > now() as later from awa.job_log where id = any (%(ids)s::bigint[]) order by id;

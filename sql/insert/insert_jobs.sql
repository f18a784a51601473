-- Bulk insert for a role that may not write to the log itself, or over a connection of
-- the application's: by the function that other languages call, too. As insert/insert it
-- is right under any settings of the session, and returns times as microseconds since the
-- epoch. Parameter: jobs (JSON). args_bytes_max: as in insert/insert.
select id, outcome, (extract(epoch from created_at) operator(pg_catalog.*) 1000000)::bigint as created_us,
       (extract(epoch from run_at) operator(pg_catalog.*) 1000000)::bigint as run_us,
       run_at operator(pg_catalog.>) pg_catalog.now() as later, holder
from awa.insert_jobs(%(jobs)s::pg_catalog.text::pg_catalog.jsonb, args_bytes_max => 0) order by pos;

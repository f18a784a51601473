-- Bulk insert for a role that may not write to the log itself, or over a connection of
-- the application's: by the function that other languages call, too. Parameter: jobs
-- (JSON).
select id, outcome, created_at, run_at, run_at > now() as later, holder from awa.insert_jobs(%(jobs)s::text::jsonb) order by pos;

-- Bulk insert for a role that may not write to the log itself: by the function that
-- other languages call, too. Parameter: jobs (JSON).
select id from awa.insert_jobs(%(jobs)s::text::jsonb) order by pos;

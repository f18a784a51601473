-- Bulk insert of jobs whose ids were taken by insert/take_ids.sql.
copy awa.job_log (id, queue, kind, priority, max_attempts, run_at, metadata, tags, args) from stdin;

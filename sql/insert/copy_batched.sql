-- As insert/copy.sql, of jobs that insert/file.sql puts into batches: with an xid of null,
-- which keeps them out of the index by which a seal finds jobs. Their time is given, so
-- that no session has to read them to know in which order they come.
copy awa.job_log (id, args, queue, kind, priority, max_attempts, timeout_ms, run_at, metadata, tags, expires_at,
                  ordering_key, unique_states, unique_key, xid, created_at)
from stdin (format binary);

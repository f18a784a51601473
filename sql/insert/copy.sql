-- Bulk insert of jobs whose ids were taken by insert/take_ids.sql. The rows are
-- written in UTF-8: the client encoding must be that.
copy awa.job_log (id, args, queue, kind, priority, max_attempts, timeout_ms, run_at, metadata, tags, expires_at,
                  ordering_key, unique_states, unique_key)
from stdin (format binary);

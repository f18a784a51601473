-- Bulk insert of jobs whose ids were taken by insert/take_ids.sql. The lines are
-- written in UTF-8, whatever the client encoding of a borrowed connection.
copy awa.job_log (id, queue, kind, priority, max_attempts, timeout_ms, run_at, metadata, tags, expires_at, ordering_key,
                  unique_states, unique_key, args)
from stdin (encoding 'UTF8');

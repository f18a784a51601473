-- The bodies of claimed jobs. Parameters: ids bigint[], and lo, hi, their least
-- and greatest: constants that let the planner leave out the other segments.
select id, created_at, run_at, priority, max_attempts, timeout_ms, queue, kind, args, metadata, tags, expires_at,
       unique_key, unique_states, ordering_key
from awa.job_log where id = any (%(ids)s::bigint[]) and id between %(lo)s and %(hi)s
union all
select id, created_at, run_at, priority, max_attempts, timeout_ms, queue, kind, args, metadata, tags, expires_at,
       unique_key, unique_states, ordering_key
from awa.held where id = any (%(ids)s::bigint[]);

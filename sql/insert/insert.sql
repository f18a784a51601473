-- Insert one job into the caller's transaction, and wake an idle node if there
-- is one. NOTIFY serialises commits, so it is sent only when somebody waits.
-- Parameters: the job's columns.
with job as (
  insert into awa.job_log (queue, kind, priority, max_attempts, timeout_ms, run_at, args, metadata, tags)
  values (%(queue)s, %(kind)s, %(priority)s, %(max_attempts)s, %(timeout_ms)s::integer, %(run_at)s::timestamptz,
          %(args)s::jsonb, %(metadata)s::jsonb, %(tags)s::text[])
  returning id, created_at, run_at
)
select id, created_at, run_at, run_at > now() as later, (select pg_notify('awa:wake', '') from awa.idle limit 1) from job;

-- Put failed jobs into the dead-letter queue, where their queue has that.
-- Runs behind settle/settle.sql in one transaction, and only when a job failed: so
-- that others pay nothing for it. A job that the settle refused is left alone.
-- Parameters: worker; ids bigint[] (the jobs that failed).
insert into awa.dlq (job_id, lane, runs, reason)
select f.job_id, f.lane,
       (select count(*) from awa.every_attempt a where a.job_id = f.job_id and a.started_at is not null),
       case when f.error @> '{"terminal": true}' then 'terminal_error' else 'max_attempts_exhausted' end
from unnest(%(ids)s::bigint[]) as u(id)
cross join lateral (select a.job_id, a.lane, a.worker, a.outcome, a.error from awa.every_attempt a where a.job_id = u.id
                    order by a.retry_round desc, a.attempt desc limit 1) f
join awa.lane l on l.id = f.lane
join awa.queue q on q.name = l.queue
where q.dlq and f.outcome = 5 and f.worker = %(worker)s
  and exists (select from awa.stored_job b where b.id = f.job_id)
on conflict (job_id) do nothing
returning reason;

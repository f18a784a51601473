-- Dead letters whose retention has passed, locked: none can be retried meanwhile and
-- come back under the same id.
-- Parameters: dlq_s (retention of queues without one of their own, seconds), jobs_max.
-- Index: dlq_newest (lane, dlq_at, job_id): one probe a lane where nothing is due. For
-- that the time must be now(): clock_timestamp() would be compared with every entry.
with old as materialized (
  select d.job_id
  from awa.lane l left join awa.queue q on q.name = l.queue
  cross join lateral (
    select d.job_id from awa.dlq d
    where d.lane = l.id
      and d.dlq_at <= now() - make_interval(secs => coalesce(q.retention_dlq_h * 3600, %(dlq_s)s))
    order by d.dlq_at, d.job_id limit %(jobs_max)s
  ) d
  limit %(jobs_max)s
)
select d.job_id from awa.dlq d where d.job_id = any (array(select job_id from old)) order by d.job_id
for update skip locked;

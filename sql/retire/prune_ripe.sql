-- Held jobs whose retention has passed, locked. Whether that is still so is looked
-- at again by retire/prune_held.sql, a statement of its own: one of them may have
-- been retried by hand, or made a dead letter, while this one ran.
-- Parameters: completed_s, failed_s (of queues without a retention of their own), jobs_max.
select h.id from awa.held h
cross join lateral (select a.lane, a.outcome, a.finished_at from awa.attempt_log a where a.job_id = h.id
                    order by a.round desc, a.attempt desc limit 1) last
join awa.lane l on l.id = last.lane
left join awa.queue q on q.name = l.queue
where last.finished_at <= clock_timestamp() - make_interval(secs => case
        when last.outcome in (3, 6) then coalesce(q.retention_completed_h * 3600, %(completed_s)s)
        when last.outcome = 5 then coalesce(q.retention_failed_h * 3600, %(failed_s)s) end)
  and not exists (select from awa.dlq d where d.job_id = h.id)
limit %(jobs_max)s for update of h skip locked;

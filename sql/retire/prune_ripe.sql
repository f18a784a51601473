-- Held jobs whose retention has passed, locked. Whether that is still so is looked
-- at again by retire/prune_held.sql, a statement of its own: one of them may have
-- been retried by hand while this one ran.
-- Parameters: completed_s, failed_s, jobs_max.
select h.id from awa.held h
cross join lateral (select a.outcome, a.finished_at from awa.attempt_log a where a.job_id = h.id
                    order by a.round desc, a.attempt desc limit 1) last
where last.outcome in (3, 6) and last.finished_at <= clock_timestamp() - make_interval(secs => %(completed_s)s)
   or last.outcome = 5 and last.finished_at <= clock_timestamp() - make_interval(secs => %(failed_s)s)
limit %(jobs_max)s for update of h skip locked;

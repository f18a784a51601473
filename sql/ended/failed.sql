-- Failed jobs that are no dead letters, oldest first: what a bulk operation takes on
-- next. Parameters: queue, kind (null: any); above, upto (ids above the one, up to the
-- other); jobs_max.
-- Index: attempt_log_notable, so the 5 stands here: as a parameter it would hide that
-- the index has all there is to find.
select a.job_id from awa.attempt_log a join awa.lane l on l.id = a.lane
where a.outcome = 5 and a.job_id > %(above)s and a.job_id <= %(upto)s
  and (%(queue)s::text is null or l.queue = %(queue)s) and (%(kind)s::text is null or l.kind = %(kind)s)
  and not exists (select from awa.attempt_log n
                  where n.job_id = a.job_id and (n.round, n.attempt) > (a.round, a.attempt))
  and not exists (select from awa.dlq d where d.job_id = a.job_id)
order by a.job_id limit %(jobs_max)s;

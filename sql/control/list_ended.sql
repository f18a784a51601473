-- Newest jobs that ended with an outcome and were not retried since.
-- Parameters: outcome, queue, kind, tag (null: any), jobs_max, before (only ids below it; null: any).
select a.job_id as id from awa.every_attempt a join awa.lane l on l.id = a.lane
where a.outcome = %(outcome)s and (%(before)s::bigint is null or a.job_id < %(before)s)
  and (%(queue)s::text is null or l.queue = %(queue)s) and (%(kind)s::text is null or l.kind = %(kind)s)
  and not exists (select from awa.every_attempt n
                  where n.job_id = a.job_id and (n.retry_round, n.attempt) > (a.retry_round, a.attempt))
  and (%(tag)s::text is null or exists (select from awa.stored_job t where t.id = a.job_id and %(tag)s = any (t.tags)))
order by a.job_id desc limit %(jobs_max)s;

-- Newest scheduled or retryable jobs. Parameters: why text[], queue, kind, jobs_max.
select d.job_id as id from awa.deferred d join awa.lane l on l.id = d.lane
where d.why = any (%(why)s::text[])
  and (%(queue)s::text is null or l.queue = %(queue)s) and (%(kind)s::text is null or l.kind = %(kind)s)
order by d.job_id desc limit %(jobs_max)s;

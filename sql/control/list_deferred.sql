-- Newest scheduled or retryable jobs; what is not sealed is scheduled, too, if it is not
-- due. Parameters: why text[], queue, kind, tag (null: any), jobs_max, before (only ids below it; null: any),
--   unsealed_max (of those that are not sealed, at most so many are looked at).
(select d.job_id as id from awa.deferred d join awa.lane l on l.id = d.lane
 where d.why = any (%(why)s::text[]) and (%(before)s::bigint is null or d.job_id < %(before)s)
   and (%(queue)s::text is null or l.queue = %(queue)s) and (%(kind)s::text is null or l.kind = %(kind)s)
   and (%(tag)s::text is null or exists (select from awa.stored_job t where t.id = d.job_id and %(tag)s = any (t.tags)))
 order by d.job_id desc limit %(jobs_max)s)
union all
select u.id from awa.unsealed(case when 'scheduled' = any (%(why)s::text[]) then %(unsealed_max)s::int else 0 end) u
where not u.due and (%(before)s::bigint is null or u.id < %(before)s)
  and (%(tag)s::text is null or exists (select from awa.stored_job t where t.id = u.id and %(tag)s = any (t.tags)))
  and (%(queue)s::text is null or u.queue = %(queue)s) and (%(kind)s::text is null or u.kind = %(kind)s)
order by id desc limit %(jobs_max)s;

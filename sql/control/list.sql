-- Newest jobs of any state. Parameters: queue, kind, tag (null: any), jobs_max, before (only
-- ids below it; null: any).
select id from awa.stored_job
where (%(queue)s::text is null or queue = %(queue)s) and (%(kind)s::text is null or kind = %(kind)s)
  and (%(tag)s::text is null or %(tag)s = any (tags))
  and (%(before)s::bigint is null or id < %(before)s)
order by id desc limit %(jobs_max)s;

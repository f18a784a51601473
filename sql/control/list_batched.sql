-- Newest available (leased = false) or running (true) jobs. The first page is made from
-- the newest batches, without reading the backlog, and is exact where there are no more of
-- them than 2,000; the pages behind it read the ids of all, since a batch made lately may
-- hold an old job. What is not sealed is available, too, if it is due.
-- With a tag, too, all are read: it stands in the bodies.
-- Parameters: leased, queue, kind, tag (null: any), jobs_max, before (only ids below it; null: any),
--   unsealed_max (of those that are not sealed, at most so many are looked at).
select w.id
from (select n.job_id as id, n.lane from awa.key_line n
      where n.state = 1 and not %(leased)s and (%(before)s::bigint is null or n.job_id < %(before)s)
      order by n.job_id desc) w
join awa.lane l on l.id = w.lane
where (%(queue)s::text is null or l.queue = %(queue)s) and (%(kind)s::text is null or l.kind = %(kind)s)
  and (%(tag)s::text is null or exists (select from awa.stored_job t where t.id = w.id and %(tag)s = any (t.tags)))
union all
select u.id
from (select b.ids from awa.batch b join awa.lane l on l.id = b.lane
      where (b.owner is not null) = %(leased)s
        and (%(queue)s::text is null or l.queue = %(queue)s) and (%(kind)s::text is null or l.kind = %(kind)s)
      order by b.id desc
      limit case when %(before)s::bigint is null and %(tag)s::text is null then greatest(%(jobs_max)s::int, 2000) end) newest
cross join lateral unnest(newest.ids) as u(id)
where (%(before)s::bigint is null or u.id < %(before)s)
  and (%(tag)s::text is null or exists (select from awa.stored_job t where t.id = u.id and %(tag)s = any (t.tags)))
union all
select u.id from awa.unsealed(case when %(leased)s then 0 else %(unsealed_max)s::int end) u
where u.due and (%(before)s::bigint is null or u.id < %(before)s)
  and (%(tag)s::text is null or exists (select from awa.stored_job t where t.id = u.id and %(tag)s = any (t.tags)))
  and (%(queue)s::text is null or u.queue = %(queue)s) and (%(kind)s::text is null or u.kind = %(kind)s)
order by id desc limit %(jobs_max)s;

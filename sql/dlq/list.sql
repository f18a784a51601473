-- Dead letters, newest first: a page of ids.
-- Parameters: queue, kind, tag (null: any); before_at, before_id (where the page
--   before this one ended: its last entry's dlq_at and id; infinity: at the newest);
--   below (only ids below this one); jobs_max.
-- Index: dlq_newest (lane, dlq_at, job_id), lane by lane; the fronts are merged.
select d.job_id
from awa.lane l
cross join lateral (
  select d.job_id, d.dlq_at from awa.dlq d
  where d.lane = l.id and (d.dlq_at, d.job_id) < (%(before_at)s::timestamptz, %(before_id)s::bigint)
    and d.job_id < %(below)s::bigint
    and (%(tag)s::text is null or exists (select from awa.stored_job b where b.id = d.job_id and %(tag)s = any (b.tags)))
  order by d.dlq_at desc, d.job_id desc limit %(jobs_max)s
) d
where (%(queue)s::text is null or l.queue = %(queue)s) and (%(kind)s::text is null or l.kind = %(kind)s)
order by d.dlq_at desc, d.job_id desc limit %(jobs_max)s;

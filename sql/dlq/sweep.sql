-- Dead letters, oldest first: what a bulk operation takes on next.
-- Parameters: queue, kind, tag (null: any); after_at, after_id (the last entry of the
--   step before; -infinity: none); before_at, before_id (only entries before that:
--   there is an end, although jobs may fail again meanwhile); below (only ids below
--   this one); jobs_max. Index: as in dlq/list.sql.
select d.job_id, d.dlq_at::text
from awa.lane l
cross join lateral (
  select d.job_id, d.dlq_at from awa.dlq d
  where d.lane = l.id and (d.dlq_at, d.job_id) > (%(after_at)s::timestamptz, %(after_id)s::bigint)
    and (d.dlq_at, d.job_id) < (%(before_at)s::timestamptz, %(before_id)s::bigint)
    and d.job_id < %(below)s::bigint
    and (%(tag)s::text is null or exists (select from awa.stored_job b where b.id = d.job_id and %(tag)s = any (b.tags)))
  order by d.dlq_at, d.job_id limit %(jobs_max)s
) d
where (%(queue)s::text is null or l.queue = %(queue)s) and (%(kind)s::text is null or l.kind = %(kind)s)
order by d.dlq_at, d.job_id limit %(jobs_max)s;

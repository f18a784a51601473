-- How many of these jobs of a segment are nowhere: in no batch, not deferred, in no line,
-- and they have not ended. There are never any; the leader raises an alarm and keeps the segment.
-- One snapshot for all places, since jobs move between them. It reads every batch, and
-- so is asked once a segment, of those that had not ended when it was looked at.
-- Parameters: first_id, end_id (of the segment), ids bigint[].
with live as materialized (
  select job_id as id from awa.deferred where job_id >= %(first_id)s and job_id < %(end_id)s
  union all
  select job_id from awa.key_line where job_id >= %(first_id)s and job_id < %(end_id)s
  union all
  select u.id from awa.batch b cross join lateral unnest(b.ids) as u(id) where u.id >= %(first_id)s and u.id < %(end_id)s
)
select count(*)::int as lost
from unnest(%(ids)s::bigint[]) as o(id)
where not exists (select from live l where l.id = o.id)
  and not coalesce((select a.outcome in (3, 5, 6) from awa.every_attempt a where a.job_id = o.id
                    order by a.retry_round desc, a.attempt desc limit 1), false)
  and exists (select from awa.stored_job b where b.id = o.id);

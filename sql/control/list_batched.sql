-- Newest available (leased = false) or running (true) jobs, from the newest
-- batches, without reading the backlog. Parameters: leased, queue, kind, jobs_max.
select u.id
from (select array[n.job_id] as ids
      from (select job_id, lane from awa.line where state = 1 and not %(leased)s order by job_id desc) n
      join awa.lane l on l.id = n.lane
      where (%(queue)s::text is null or l.queue = %(queue)s) and (%(kind)s::text is null or l.kind = %(kind)s)
      limit %(jobs_max)s) waiting
cross join lateral unnest(waiting.ids) as u(id)
union all
select u.id
from (select b.ids from awa.batch b join awa.lane l on l.id = b.lane
      where (b.owner is not null) = %(leased)s
        and (%(queue)s::text is null or l.queue = %(queue)s) and (%(kind)s::text is null or l.kind = %(kind)s)
      order by b.id desc limit %(jobs_max)s) newest
cross join lateral unnest(newest.ids) as u(id)
order by id desc limit %(jobs_max)s;

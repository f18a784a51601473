-- Depth and progress per queue: sums over batches, not counts over jobs.
-- Jobs that are not sealed yet count as what they will be; at most unsealed_max of them
-- are looked at, which is all there are as long as sealing goes on. lag_seconds: for how
-- long the oldest job could have run: ready, in line, not sealed, or put aside and due.
-- waiting_external has its place in the answer and no way in yet.
-- Parameter: unsealed_max.
with ready as (
  select l.queue, sum(cardinality(b.ids)) filter (where b.owner is null) as available,
         sum(cardinality(b.ids)) filter (where b.owner is not null) as running,
         min(b.sort_at - awa.ageing(l.priority, q.ageing_s)) filter (where b.owner is null) as oldest
  from awa.batch b join awa.lane l on l.id = b.lane left join awa.queue q on q.name = l.queue
  group by l.queue
), in_line as (
  select l.queue, count(*) as waiting, min(n.sort_at - awa.ageing(l.priority, q.ageing_s)) as first
  from awa.key_line n join awa.lane l on l.id = n.lane left join awa.queue q on q.name = l.queue
  where n.state = 1 group by l.queue
), aside as (
  select l.queue, count(*) filter (where d.why <> 'retry') as scheduled, count(*) filter (where d.why = 'retry') as retryable,
         min(d.run_at) filter (where d.run_at <= now()) as overdue
  from awa.deferred d join awa.lane l on l.id = d.lane group by l.queue
), fresh as (
  select u.queue, count(*) filter (where u.due) as due, count(*) filter (where not u.due) as later,
         min(u.since) filter (where u.due) as unsealed
  from awa.unsealed(%(unsealed_max)s) u group by u.queue
), failed as (
  select l.queue, count(*) as failed
  from awa.every_attempt a join awa.lane l on l.id = a.lane
  where a.outcome = 5 and a.outcome <> 3
    and not exists (select from awa.every_attempt n
                    where n.job_id = a.job_id and (n.retry_round, n.attempt) > (a.retry_round, a.attempt))
  group by l.queue
), done as (
  select l.queue, sum(t.jobs) as completed_last_hour
  from awa.outcome_count t join awa.lane l on l.id = t.lane
  where t.outcome = 3 and t.minute > now() - interval '1 hour' group by l.queue
)
select q.name as queue,
       (coalesce(available, 0) + coalesce(waiting, 0) + coalesce(running, 0) + coalesce(scheduled, 0) + coalesce(retryable, 0)
        + coalesce(due, 0) + coalesce(later, 0))::bigint as total_queued,
       (coalesce(scheduled, 0) + coalesce(later, 0))::bigint as scheduled,
       (coalesce(available, 0) + coalesce(waiting, 0) + coalesce(due, 0))::bigint as available,
       coalesce(retryable, 0)::bigint as retryable, coalesce(running, 0)::bigint as running,
       coalesce(failed, 0)::bigint as failed, 0::bigint as waiting_external,
       coalesce(completed_last_hour, 0)::bigint as completed_last_hour,
       -- least() passes over what is null; so does greatest().
       case when least(oldest, first, unsealed, overdue) is not null
            then greatest(0, extract(epoch from now() - least(oldest, first, unsealed, overdue)))::float8 end as lag_seconds,
       q.paused_at is not null as paused
from (select coalesce(q.name, l.queue) as name, q.paused_at
      from awa.queue q full join (select queue from awa.lane union select queue from fresh) l on l.queue = q.name) q
left join ready on ready.queue = q.name left join in_line on in_line.queue = q.name left join aside on aside.queue = q.name
left join fresh on fresh.queue = q.name
left join failed on failed.queue = q.name left join done on done.queue = q.name
order by q.name;

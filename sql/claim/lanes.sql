-- The lanes a worker may claim from: its queues (null: all) and its kinds.
-- deadline_s: what a job of the queue may take, seconds; 0: as long as it likes.
-- is_unique: there may be jobs with a unique key, which can be replaced. passes_on:
-- there may be jobs with an ordering key, and the next one of a line may start when one
-- has.
-- "in (select unnest …)" looks each lane's queue up in a hash; "= any" would compare it
-- with a thousand queues, one by one.
-- Parameters: queues text[] or null, kinds text[].
select l.id, l.queue, l.kind, l.priority, coalesce(q.deadline_s, 300) as deadline_s, l.is_unique,
       l.is_ordered and not coalesce(q.serial, false) as passes_on
from awa.lane l left join awa.queue q on q.name = l.queue
where (%(queues)s::text[] is null or l.queue in (select unnest(%(queues)s::text[])))
  and l.kind in (select unnest(%(kinds)s::text[]));

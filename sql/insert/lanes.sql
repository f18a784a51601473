-- The lane of each queue, kind and priority: the oldest one, as a seal takes it. Makes
-- those that there are not. Another transaction may be making the same: then there are
-- two for ever, which costs every claim one more to look at.
-- Parameters, parallel arrays: queues text[], kinds text[], priorities smallint[].
-- Returns the place in these, from one, and the lane.
with wanted as materialized (
  select w.at, w.queue, w.kind, w.priority,
         (select min(l.id) from awa.lane l where l.queue = w.queue and l.kind = w.kind and l.priority = w.priority) as id
  from unnest(%(queues)s::text::text[], %(kinds)s::text::text[], %(priorities)s::text::smallint[])
         with ordinality as w(queue, kind, priority, at)
), made as (
  insert into awa.lane (queue, kind, priority) select queue, kind, priority from wanted where id is null
  returning queue, kind, priority, id
)
select w.at, coalesce(w.id, m.id) as id
from wanted w left join made m on m.queue = w.queue and m.kind = w.kind and m.priority = w.priority;

-- The lane of each queue, kind and priority: the oldest one, as a seal takes it. Makes
-- those that there are not. Another transaction may be making the same: then there are
-- two, which does no harm.
-- Parameters, parallel arrays: queues text[], kinds text[], priorities smallint[].
with wanted as materialized (
  select w.queue, w.kind, w.priority,
         (select min(l.id) from awa.lane l where l.queue = w.queue and l.kind = w.kind and l.priority = w.priority) as id
  from unnest(%(queues)s::text::text[], %(kinds)s::text::text[], %(priorities)s::text::smallint[]) as w(queue, kind, priority)
), made as (
  insert into awa.lane (queue, kind, priority) select queue, kind, priority from wanted where id is null
  returning queue, kind, priority, id
)
select queue, kind, priority, id from wanted where id is not null
union all
select queue, kind, priority, id from made;

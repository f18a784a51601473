-- What keeps a job from being run, as far as the tables tell. Parameter: id.
-- Indexes: primary keys; lane_of; batch_ready for what is ahead of it; key_line_waiting. Looking
-- for its batch reads the ready batches of its lane, as a cancel does. Jobs ahead are those of all
-- lanes of its queue whose key is smaller: workers merge lanes by that key. One row, or none
-- where there is no such job.
with job as materialized (
  select b.id, b.queue, b.kind, b.priority, b.ordering_key from awa.stored_job b where b.id = %(id)s
), spot as materialized (
  select b.id, b.sort_at, b.owner, pg_catalog.array_position(b.ids, j.id) as pos
  from job j join awa.lane l on l.queue = j.queue and l.kind = j.kind and l.priority = j.priority
  join awa.batch b on b.lane = l.id and j.id = any (b.ids)
  limit 1
), serving as materialized (
  select n.kinds, n.queues from awa.node n
)
select j.queue, j.kind, q.paused_at, q.paused_by,
       d.run_at as deferred_until, d.why, d.run_at <= pg_catalog.now() as is_due,
       spot.id is not null and spot.owner is null as is_ready, spot.owner is not null as is_leased,
       (select pg_catalog.count(*) from serving)::int as nodes,
       exists (select from serving s where j.kind = any (s.kinds)) as is_kind_known,
       exists (select from serving s where j.kind = any (s.kinds) and (s.queues is null or j.queue = any (s.queues)))
         as is_served,
       line.state = 1 as is_in_line,
       case when line.state = 1 then
         (select pg_catalog.count(*) from awa.key_line o
          where o.queue = line.queue and o.key = line.key and o.pos < line.pos and o.state >= 1)::int end as line_ahead,
       case when line.state = 1 then
         (select o.job_id from awa.key_line o where o.queue = line.queue and o.key = line.key and o.state >= 2 limit 1)
         end as key_line_head,
       case when spot.id is not null and spot.owner is null then
         (select coalesce(pg_catalog.sum(pg_catalog.cardinality(b.ids)), 0)
          from awa.lane l join awa.batch b on b.lane = l.id and b.owner is null
          where l.queue = j.queue and (b.sort_at, b.id) < (spot.sort_at, spot.id))::bigint + spot.pos - 1 end as ahead
from job j
left join awa.queue q on q.name = j.queue
left join awa.deferred d on d.job_id = j.id
left join awa.key_line line on line.job_id = j.id
left join spot on true;

-- One row a node, however many jobs run; and what is known of all nodes, so that each
-- can see for how long, by its own clock, another has said nothing.
-- Parameter: node. No row: declared dead. clock_us: the server's time, microseconds
-- since the epoch. nodes, beats: parallel, the heartbeats of all nodes so far.
with beaten as (
  update awa.node set heartbeat_at = clock_timestamp(), beat = beat + 1 where id = %(node)s returning id
)
select (extract(epoch from clock_timestamp()) * 1e6)::bigint as clock_us,
       (select array_agg(id order by id) from awa.node) as nodes, (select array_agg(beat order by id) from awa.node) as beats
from beaten;

-- The lanes a worker may claim from: its queues (null: all) and its kinds.
-- Parameters: queues text[] or null, kinds text[].
select id, queue, kind, priority from awa.lane
where (%(queues)s::text[] is null or queue = any (%(queues)s::text[])) and kind = any (%(kinds)s::text[]);

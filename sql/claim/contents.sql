-- Args and metadata of large jobs, which claim/bodies.sql has left out: of the first one, and
-- of as many behind it as have a slice of bytes together, by what they may take
-- at most: compression times what they take as they are stored, where they are stored compressed.
-- Parameters: ids bigint[], in the order in which they are to run, and first_id, end_id, their least and
-- greatest; slice (bytes); compression. Index: the primary keys.
-- Only what is returned is read from where large values are kept: the rest of it is sizes.
with sized as materialized (
  select id, args, metadata,
         pg_column_size(args)::bigint * case when pg_column_compression(args) is null then 1 else %(compression)s::int end
         + coalesce(pg_column_size(metadata)::bigint * case when pg_column_compression(metadata) is null then 1 else %(compression)s::int end, 0) as bytes
  from (
    select id, args, metadata from awa.job_log where id = any (%(ids)s::bigint[]) and id between %(first_id)s and %(end_id)s
    union all
    select id, args, metadata from awa.job_archive where id = any (%(ids)s::bigint[])
  ) b
)
select id, args, metadata
from (
  select s.*, sum(s.bytes) over (order by u.pos) - s.bytes as before
  from unnest(%(ids)s::bigint[]) with ordinality as u(id, pos) join sized s on s.id = u.id
) ordered
where before = 0 or before + bytes <= %(slice)s::bigint;

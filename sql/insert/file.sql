-- Put plain jobs of this transaction into ready batches: due, without a key, a line or an
-- end. Returns how many. A seal does not see them: their xid is null.
-- Parameters: ids bigint[] (null: all from first to last); parallel arrays, a batch each:
-- lanes int[], times timestamptz[] (when its first job was inserted), ends int[] (how many
-- of the ids are in this one and those before it).
-- Does not read the log: that would lock all of its partitions until this transaction
-- ends, and a session that makes or drops one would wait for it.
-- The ids stand in a subselect, so that they are not carried along with each batch.
with given as materialized (
  select coalesce(%(ids)s::text::bigint[], array(select generate_series(%(first)s::bigint, %(last)s::bigint))) as ids
), cut as materialized (
  select lane, time, pos, ((select ids from given))[after + 1 : upto] as ids
  from (select lane, time, upto, pos, lag(upto, 1, 0) over (order by pos) as after
        from unnest(%(lanes)s::text::int[], %(times)s::text::timestamptz[], %(ends)s::text::int[])
               with ordinality as g(lane, time, upto, pos)) g
), batched as (
  insert into awa.batch (sort_at, lane, ids)
  select cut.time + awa.ageing(l.priority, q.ageing_s), l.id, cut.ids
  from cut
  join awa.lane l on l.id = cut.lane
  left join awa.queue q on q.name = l.queue
  order by cut.pos
  returning cardinality(ids) as jobs
)
select coalesce(sum(jobs), 0)::int from batched;

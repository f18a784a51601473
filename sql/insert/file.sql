-- Put plain jobs of this transaction, inserted by one statement, into ready batches: due,
-- without a key, a line or an end. Returns how many. A seal does not see them: their xid
-- is null.
-- Parameters: ids bigint[] (null: all from first to last); parallel arrays, a batch each:
-- lanes int[], ends int[] (how many of the ids are in this one and those before it).
with given as materialized (
  select coalesce(%(ids)s::text::bigint[], array(select generate_series(%(first)s::bigint, %(last)s::bigint))) as ids
), filed as (
  insert into awa.batch (order_key, lane, ids)
  select log.created_at + awa.ageing(l.priority, q.ageing_s), l.id, ((select ids from given))[b.after + 1 : b.upto]
  from awa.job_log log
  cross join (select lane, upto, pos, lag(upto, 1, 0) over (order by pos) as after
              from unnest(%(lanes)s::text::int[], %(ends)s::text::int[]) with ordinality as g(lane, upto, pos)) b
  join awa.lane l on l.id = b.lane
  left join awa.queue q on q.name = l.queue
  where log.id = %(first)s::bigint
  order by b.pos
  returning cardinality(ids) as jobs
)
select coalesce(sum(jobs), 0)::int from filed;

-- Bring the next job of each line that has none ahead of it to where it can be
-- claimed. Runs under seal/lock.sql, behind the seal and in another statement: what
-- was lined up, and what was freed, by whatever was committed before the lock was
-- had, is seen; and nobody else can make another job the head of the same line.
-- A job that somebody holds locked (a cancel that is not committed) is not waited
-- for, and nobody passes it: its line is looked at again by the next seal.
--
-- Parameters: lines_max (of one step), batch_max.
-- Index: line_waiting (queue, key, pos) and line_head (queue, key).
with freed as materialized (
  delete from awa.line_freed
  where current_setting('awa.sealer', true) = 'true'
    and ctid = any (array(select ctid from awa.line_freed limit %(lines_max)s)) returning queue, key
), lines as materialized (
  select distinct queue, key from freed
), next as materialized (
  select w.* from lines
  cross join lateral (
    select l.job_id, l.queue, l.key from awa.line l
    where l.queue = lines.queue and l.key = lines.key and l.state = 1 order by l.pos limit 1
  ) w
  where not exists (
    select from awa.line h
    where h.queue = lines.queue and h.key = lines.key and h.state >= 2
      and (h.state <> 3 or exists (select from awa.queue q where q.name = h.queue and q.serial)))
), had as materialized (
  select job_id, lane, round, attempt, order_key, pos from awa.line
  where job_id = any (array(select job_id from next)) and state = 1 order by job_id for update skip locked
), headed as (
  update awa.line set state = 2 where job_id = any (array(select job_id from had))
), again as (
  insert into awa.line_freed (queue, key)
  select queue, key from next where not exists (select from had where had.job_id = next.job_id)
), batches as (
  insert into awa.batch (order_key, lane, round, ids, attempts)
  select min(order_key), lane, round, array_agg(job_id order by order_key, pos), array_agg(attempt order by order_key, pos)
  from (select *, row_number() over (partition by lane, round order by order_key, pos) - 1 as n from had) h
  group by lane, round, n / %(batch_max)s
  order by min(order_key)
)
select (select count(*)::int from had) as jobs, (select count(*) from freed) >= %(lines_max)s as more;

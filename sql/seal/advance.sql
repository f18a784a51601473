-- Bring the next job of each line that has none ahead of it to where it can be
-- claimed. Runs under seal/lock.sql, behind the seal and in another statement: what
-- was lined up, and what was freed, by whatever was committed before the lock was
-- had, is seen; and no other session can make another job the head of the same line.
-- A locked job (a cancel that is not committed) is not waited
-- for, and no job passes it: its line is looked at again by the next seal.
--
-- Parameters: lines_max (of one step), batch_max.
-- Index: key_line_waiting (queue, key, pos) and key_line_head (queue, key).
with freed as materialized (
  delete from awa.key_freed
  where current_setting('awa.sealer', true) = 'true'
    and ctid = any (array(select ctid from awa.key_freed limit %(lines_max)s)) returning queue, key
), lines as materialized (
  select distinct queue, key from freed
), next as materialized (
  select w.* from lines
  cross join lateral (
    select l.job_id, l.queue, l.key from awa.key_line l
    where l.queue = lines.queue and l.key = lines.key and l.state = 1 order by l.pos limit 1
  ) w
  where not exists (
    select from awa.key_line h
    where h.queue = lines.queue and h.key = lines.key and h.state >= 2
      and (h.state <> 3 or exists (select from awa.queue q where q.name = h.queue and q.serial)))
), had as materialized (
  select job_id, lane, retry_round, attempt, sort_at, pos from awa.key_line
  where job_id = any (array(select job_id from next)) and state = 1 order by job_id for update skip locked
), headed as (
  update awa.key_line set state = 2 where job_id = any (array(select job_id from had))
), again as (
  insert into awa.key_freed (queue, key)
  select queue, key from next where not exists (select from had where had.job_id = next.job_id)
), batches as (
  insert into awa.batch (sort_at, lane, retry_round, ids, attempts)
  select min(sort_at), lane, retry_round, array_agg(job_id order by sort_at, pos), array_agg(attempt order by sort_at, pos)
  from (select *, row_number() over (partition by lane, retry_round order by sort_at, pos) - 1 as n from had) h
  group by lane, retry_round, n / %(batch_max)s
  order by min(sort_at)
)
select (select count(*)::int from had) as jobs, (select count(*) from freed) >= %(lines_max)s as more;

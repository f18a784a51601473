-- A worker is about to start a job for which that means something: it has an ordering
-- key, in a queue that is not serial, and the next one of its line may go; or it holds
-- its unique key only until it is started. Parameters: id; worker.
-- Nothing happens when the job is no longer in the worker's lease.
with leased as materialized (
  select 1 from awa.batch where owner = %(worker)s and %(id)s = any (ids)
), let_go as (
  delete from awa.unique_claim where key = any (array(
    select key from awa.unique_claim where job_id = %(id)s and (states >> 2) & 1 = 0 and exists (select from leased)
    for update skip locked))
), begun as (
  update awa.key_line n set state = 3
  where n.job_id = %(id)s and n.state = 2 and exists (select from leased)
    and not exists (select from awa.queue q where q.name = n.queue and q.serial)
  returning queue, key
)
insert into awa.key_freed (queue, key) select queue, key from begun;

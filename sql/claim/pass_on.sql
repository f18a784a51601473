-- A worker is about to start a job with an ordering key, in a queue that is not
-- serial: the next one of its line may go. Parameters: id; worker.
-- Nothing happens when the job is no longer in the worker's lease.
with begun as (
  update awa.line set state = 3
  where job_id = %(id)s and state = 2
    and exists (select from awa.batch where owner = %(worker)s and %(id)s = any (ids))
  returning queue, key
)
insert into awa.line_freed (queue, key) select queue, key from begun;

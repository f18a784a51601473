-- Handlers whose job was cancelled, or completed by themselves, while they ran have
-- stopped: those behind them in the lines of serial queues may go.
-- Parameters: worker (null: all that are not registered any more); ids bigint[] (null:
--   whatever the worker had). Index: key_line_stopping (job_id).
with over as (
  delete from awa.key_line where state = 4 and job_id = any (array(
    select n.job_id from awa.key_line n
    left join awa.every_attempt a on a.job_id = n.job_id and a.retry_round = n.retry_round and a.outcome in (3, 6)
    where n.state = 4 and (%(ids)s::bigint[] is null or n.job_id = any (%(ids)s::bigint[]))
      and case when %(worker)s::int is not null then a.worker = %(worker)s
               else not exists (select from awa.worker w where w.id = a.worker) end))
  returning queue, key
)
insert into awa.key_freed (queue, key) select queue, key from over;

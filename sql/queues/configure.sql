-- Change the policy of a queue, and only what is given of it.
-- Parameters: queue; given text[] (the columns to change), and one value for each
-- column there is: those not given are what a queue seen for the first time gets.
insert into awa.queue as q (name, deadline_s, dlq, ageing_s, retention_completed_h, retention_failed_h, retention_dlq_h,
                            serial, block_on_retry)
values (%(queue)s, %(deadline)s, %(dlq)s, %(ageing)s,
        %(retention_completed_h)s, %(retention_failed_h)s, %(retention_dlq_h)s,
        %(serial)s, %(block_on_retry)s)
on conflict (name) do update set
  deadline_s = case when 'deadline' = any (%(given)s::text[]) then excluded.deadline_s else q.deadline_s end,
  dlq = case when 'dlq' = any (%(given)s::text[]) then excluded.dlq else q.dlq end,
  ageing_s = case when 'ageing' = any (%(given)s::text[]) then excluded.ageing_s else q.ageing_s end,
  retention_completed_h = case when 'retention_completed_h' = any (%(given)s::text[])
                               then excluded.retention_completed_h else q.retention_completed_h end,
  retention_failed_h = case when 'retention_failed_h' = any (%(given)s::text[])
                            then excluded.retention_failed_h else q.retention_failed_h end,
  serial = case when 'serial' = any (%(given)s::text[]) then excluded.serial else q.serial end,
  block_on_retry = case when 'block_on_retry' = any (%(given)s::text[])
                          then excluded.block_on_retry else q.block_on_retry end,
  retention_dlq_h = case when 'retention_dlq_h' = any (%(given)s::text[])
                         then excluded.retention_dlq_h else q.retention_dlq_h end;

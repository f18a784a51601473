-- Forget a queue for which nothing is set that is not the default: it is treated alike without a
-- row, and a name that was never used does not stay. Parameters: queue, and the defaults.
delete from awa.queue q
where q.name = %(queue)s and q.paused_at is null
  and (q.deadline_s, q.dlq, q.ageing_s, q.serial, q.block_on_retry)
      = (%(deadline)s::integer, %(dlq)s::boolean, %(ageing)s::integer, %(serial)s::boolean, %(block_on_retry)s::boolean)
  and (q.retention_completed_h, q.retention_failed_h, q.retention_dlq_h) is not distinct from
      (%(retention_completed_h)s::real, %(retention_failed_h)s::real, %(retention_dlq_h)s::real);

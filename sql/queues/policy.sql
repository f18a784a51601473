-- The policy of a queue; no row where it has the default one. Parameter: queue.
select deadline_s as deadline, dlq, ageing_s as ageing, retention_completed_h, retention_failed_h, retention_dlq_h, serial,
       block_on_retry
from awa.queue where name = %(queue)s;

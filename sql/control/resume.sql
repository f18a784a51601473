-- Let a paused queue go on. Parameter: queue.
update awa.queue set paused_at = null, paused_by = null where name = %(queue)s;

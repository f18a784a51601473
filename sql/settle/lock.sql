-- Lock a worker's lease before reading it. A statement of its own: the one behind
-- it gets a snapshot that shows what cancel or rescue did while this one waited.
-- Parameters: worker; since (when the lease was claimed, or -infinity: whatever it
--   has; no earlier lease is read). Index: batch_leased (owner, leased_at).
select id from awa.batch where owner = %(worker)s and leased_at >= %(since)s::timestamptz order by id for update;

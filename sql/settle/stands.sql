-- Whether a worker still has a lease. Parameters: worker, since (as settle/lock).
-- Index: batch_leased (owner, leased_at).
select exists (select from awa.batch where owner = %(worker)s and leased_at >= %(since)s::timestamptz);

-- Whether a worker still has a lease. Parameter: worker. Index: batch_leased (owner).
select exists (select from awa.batch where owner = %(worker)s);

-- The jobs that a worker still has in lease: asked before it starts another one, when
-- one of its lease has been cancelled. Parameter: worker. Index: batch_leased.
select unnest(ids) from awa.batch where owner = %(worker)s;

-- A worker process is gone that had signed in, perhaps, and claimed nothing.
-- Parameters: node, pid. Index: batch_leased. An earlier process of the
-- same number may have left a lease: that one is for its burial.
delete from awa.worker w where w.node_id = %(node)s and w.pid = %(pid)s
  and not exists (select from awa.batch b where b.owner = w.id);

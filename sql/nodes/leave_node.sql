-- A node leaves, with its workers. Parameter: node. One whose worker still holds a
-- lease (it could not be taken apart) stays, goes stale and is rescued as such.
delete from awa.node n where n.id = %(node)s and not exists (
  select from awa.batch b join awa.worker w on w.id = b.owner where w.node_id = n.id
);

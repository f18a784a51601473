-- A node leaves, with its workers. Parameter: node. One whose worker still holds a
-- lease (nobody could take it apart) stays, goes stale and is rescued as such.
delete from awa.node n where n.id = %(node)s and not exists (
  select from awa.batch b join awa.worker w on w.id = b.owner where w.node_id = n.id
);

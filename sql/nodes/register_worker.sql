-- A worker process enters; its id will own leases. Parameters: node, pid.
-- Returns nothing when the node has been declared dead meanwhile.
insert into awa.worker (node_id, pid)
select id, %(pid)s from awa.node where id = %(node)s for key share
returning id;

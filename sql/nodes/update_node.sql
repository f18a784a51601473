-- A node has loaded its application again. Parameters: node, kinds text[], queues
-- text[] or null.
update awa.node set kinds = %(kinds)s::text[], queues = %(queues)s::text[] where id = %(node)s;

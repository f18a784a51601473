-- Which workers a process of a node has signed in as: one, or none if it has not yet,
-- or if its node has been declared dead. What it says itself may be forged.
-- Parameters: node, pid. Index: worker_node.
select id from awa.worker where node_id = %(node)s and pid = %(pid)s order by id;

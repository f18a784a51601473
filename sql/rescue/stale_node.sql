-- Lock a node that has been silent, and see that it still is; its name and workers.
-- Nothing when it has given a sign of life since its heartbeats were counted, or
-- another session is rescuing it. Parameters: node; beat (that count).
select n.name, array(select w.id from awa.worker w where w.node_id = n.id order by w.id) as workers
from awa.node n
where n.id = %(node)s and n.beat = %(beat)s
for update of n skip locked;

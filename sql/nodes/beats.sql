-- Number of heartbeats by node.
select id, beat from awa.node;

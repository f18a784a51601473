-- How many heartbeats there were of each node.
select id, beat from awa.node;

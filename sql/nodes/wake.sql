-- Wake idle nodes, if there are any, when this transaction commits.
select pg_notify('awa:wake', '') from awa.idle_nodes where last_value > 0;

-- Wake idle nodes, if there are any, when this transaction commits.
select pg_notify('awa:wake', '') from awa.idle limit 1;

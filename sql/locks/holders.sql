-- Which other sessions hold a table in a mode that readers do not take: one row a session.
-- Parameters: tab (qualified name), seconds (how long their transaction must have been
-- open, as far as the role may see that). Holder 0 is a prepared transaction. transaction
-- says whether it is the same one as at an earlier look.
select coalesce(l.pid, 0) as holder, s.application_name, s.usename::text, s.state,
       extract(epoch from clock_timestamp() - s.xact_start)::float8 as open_s, nullif(left(s.query, 200), '') as query,
       min(l.virtualtransaction) as transaction
from pg_locks l left join pg_stat_activity s on s.pid = l.pid
where l.locktype = 'relation' and l.granted and l.mode <> 'AccessShareLock'
  and l.database = (select oid from pg_database where datname = current_database())
  and l.relation = %(tab)s::regclass and l.pid is distinct from pg_backend_pid()
  and coalesce(s.xact_start <= clock_timestamp() - make_interval(secs => %(seconds)s::float8), true)
group by l.pid, s.application_name, s.usename, s.state, s.xact_start, s.query
order by s.xact_start;

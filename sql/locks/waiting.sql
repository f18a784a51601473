-- Which sessions of Awa's in this database wait for a lock, and who holds it: one row a
-- waiting session and a holder. Parameters: pid (of one session; null: all whose
-- application_name begins with "awa"), seconds (how long they must have waited).
-- pg_locks and these columns of pg_stat_activity are shown to every role; state, query
-- and times of another role's session only to who may see them, else they are null.
-- pg_blocking_pids stops the lock manager for an instant: so it is asked for those only
-- that wait. Who waits in turn for another is passed over: a holder is at the end of the
-- line, and waits for no session. Holder 0 is a prepared transaction.
with recursive waiting as materialized (
  select l.pid, a.application_name,
         extract(epoch from clock_timestamp() - min(l.waitstart))::float8 as waited_s,
         coalesce(min(l.relation::regclass::text), 'a row') as what
  from pg_locks l join pg_stat_activity a on a.pid = l.pid
  where not l.granted and a.datname = current_database()
    and case when %(pid)s::int is null then a.application_name like 'awa%%' else l.pid = %(pid)s::int end
    and l.waitstart <= clock_timestamp() - make_interval(secs => %(seconds)s::float8)
  group by l.pid, a.application_name
), chain as (
  select w.pid, b.pid as blocker, pg_blocking_pids(b.pid) as behind
  from waiting w cross join lateral unnest(pg_blocking_pids(w.pid)) as b(pid)
  union
  select c.pid, b.pid, pg_blocking_pids(b.pid) from chain c cross join lateral unnest(c.behind) as b(pid)
)
select w.pid, w.application_name, w.waited_s, w.what, h.pid as holder, s.application_name, s.usename::text, s.state,
       extract(epoch from clock_timestamp() - s.xact_start)::float8 as open_s, nullif(left(s.query, 200), '') as query
from waiting w
join (select distinct pid, blocker from chain where behind = '{}') h(waiter, pid) on h.waiter = w.pid
left join pg_stat_activity s on s.pid = h.pid
order by w.pid, h.pid;

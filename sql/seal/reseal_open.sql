-- Note which transactions may still bring jobs with ids of a restore: those that held the
-- id sequence when the restore was noticed (nextval locks it until its transaction
-- ends, also when prepared). When one of them has ended, what it brought is looked for.
-- Prepared ones that outlive a restart of the server come back under other names, as
-- in retire/close.sql. Runs behind seal/restored.sql or before seal/reseal.sql, under
-- seal/lock.sql.
update awa.restored r
set holders = o.still_open, own_done = false
from (
  select coalesce(array_agg(virtualtransaction order by virtualtransaction), '{}') as running,
         coalesce(array_agg(virtualtransaction order by virtualtransaction) filter (where virtualtransaction like '-1/%'), '{}') as recovered
  from pg_locks
  where locktype = 'relation' and relation = 'awa.job_id'::regclass and mode = 'RowExclusiveLock'
    and database = (select oid from pg_database where datname = current_database())
) now
cross join lateral (
  select n.upto,
         case when n.holders is null then now.running
              when n.holders && now.running
              then array(select h from unnest(n.holders) as h where h = any (now.running) order by h)
              when exists (select from unnest(n.holders) as h where h not like '-1/%') then now.recovered
              else '{}' end as still_open
  from awa.restored n
) o
where r.upto = o.upto and current_setting('awa.sealer', true) = 'true'
  and (r.holders is null or r.own_done and r.holders <> o.still_open);

-- Note when the last of those transactions has ended.
-- A prepared one that outlives a restart of the server comes back under another
-- name (-1/xid). So when those noted are gone and there are any of that kind,
-- they are noted instead: one of them may have been among the first.
update awa.segment s
set open_writers = case when w.is_waiting then holder.recovered else s.open_writers end,
    closed_at = case when not w.is_waiting then clock_timestamp() end
from (
  select coalesce(array_agg(virtualtransaction), '{}') as running,
         array_agg(virtualtransaction) filter (where virtualtransaction like '-1/%') as recovered
  from pg_locks
  where locktype = 'relation' and relation = 'awa.job_id'::regclass and mode = 'RowExclusiveLock'
    and database = (select oid from pg_database where datname = current_database())
) holder
cross join lateral (
  select s.id, holder.recovered is not null
               and exists (select from unnest(s.open_writers) as who where who not like '-1/%') as is_waiting
  from awa.segment s
) w
where s.id = w.id and s.open_writers is not null and s.closed_at is null and not s.open_writers && holder.running;

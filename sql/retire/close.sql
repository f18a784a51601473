-- Note when the last of those transactions has ended.
update awa.segment set closed_at = clock_timestamp()
where passed_by is not null and closed_at is null and not passed_by && array(
  select virtualtransaction from pg_locks
  where locktype = 'relation' and relation = 'awa.job_id'::regclass and mode = 'RowExclusiveLock'
    and database = (select oid from pg_database where datname = current_database()));

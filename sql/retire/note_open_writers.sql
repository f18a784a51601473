-- Who may still own uncommitted ids of a segment that the sequence has left:
-- nextval locks the sequence until its transaction ends (also when prepared).
-- An xid horizon would not do: an id is taken before its transaction has an xid.
update awa.segment set open_writers = array(
  select virtualtransaction from pg_locks
  where locktype = 'relation' and relation = 'awa.job_id'::regclass and mode = 'RowExclusiveLock'
    and database = (select oid from pg_database where datname = current_database()))
where exhausted_at is not null and open_writers is null;

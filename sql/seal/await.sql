-- Wait until the step that somebody is sealing at this moment has ended.
select pg_advisory_xact_lock_shared(4715202);

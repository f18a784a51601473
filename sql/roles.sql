-- Four roles for users that shall not be the schema's owner. No one can log in as one
-- of them; a role that can is made a member: grant awa_producer to shop.
--
--   awa_producer  inserts jobs, by the functions of the public contract, and sees nothing
--   awa_reader    sees everything, changes nothing
--   awa_worker    runs a supervisor and its workers; inserts and sees, too
--   awa_admin     as awa_worker, and cancels, retries, pauses and configures
--
-- None of them can migrate. Run by "awa migrate --roles", as the schema's owner, in
-- one transaction; running it again changes nothing. Roles belong to the whole cluster:
-- those that exist, from another database, get their rights here. Partitions are only
-- ever reached through job_log and attempt_log, so they need no grants.

do $$
declare
  v_role text;
begin
  foreach v_role in array array['awa_producer', 'awa_reader', 'awa_worker', 'awa_admin'] loop
    -- Looked up first: who may not create roles shall not be refused where there is nothing to create.
    if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
      begin
        execute pg_catalog.format('create role %I nologin', v_role);
      exception when duplicate_object or unique_violation then
        null;  -- made meanwhile, for another database of the cluster
      end;
    end if;
  end loop;
end $$;

grant usage on schema awa to awa_producer, awa_reader, awa_worker, awa_admin;
grant select on awa.schema_version to awa_producer, awa_reader, awa_worker, awa_admin;

-- produce
grant execute on function awa.contract_version, awa.insert_job, awa.insert_job_compat, awa.insert_jobs to awa_producer, awa_worker, awa_admin;

-- read: the views, and what lists, depths and statistics are made from
grant select on awa.jobs, awa.attempts, awa.deaths, awa.stored_job, awa.every_attempt, awa.job_archive, awa.attempt_archive, awa.job_log,
  awa.attempt_log, awa.batch, awa.deferred, awa.key_line, awa.lane, awa.queue, awa.outcome_count, awa.dlq,
  awa.node, awa.worker, awa.task to awa_reader, awa_worker, awa_admin;
grant execute on function awa.unsealed to awa_reader, awa_worker, awa_admin;

-- seal, claim, settle, promote, rescue: all that moves an id. A body is locked,
-- which takes the right to update some column (xid), and never changed.
grant insert, update, delete on awa.batch, awa.deferred, awa.key_line, awa.attempt_log to awa_worker, awa_admin;
grant update (xid), delete on awa.job_log to awa_worker, awa_admin;
grant insert on awa.lane to awa_worker, awa_admin;
grant select, insert, delete on awa.seal_ledger, awa.key_freed to awa_worker, awa_admin;
grant select, insert, update, delete on awa.restored to awa_worker, awa_admin;
grant execute on function awa.become_sealer, awa.raise_job_id to awa_worker, awa_admin;
grant update on awa.seal_lock to awa_worker, awa_admin;  -- nothing to update: the right to lock it
grant select, insert, update, delete on awa.job_expiry to awa_worker, awa_admin;
grant select, update (states), delete on awa.unique_claim to awa_worker, awa_admin;
grant select, delete on awa.job_replaced to awa_worker, awa_admin;
grant insert, delete on awa.outcome_count to awa_worker, awa_admin;
grant insert, update (job_id), delete on awa.dlq to awa_worker, awa_admin;

-- retire: segments are made and dropped by functions with the owner's rights; where they begin
-- and end is for those alone to say
grant select, update (opened_at, exhausted_at, open_writers, closed_at, closed_seal, sealed, checked_at)
  on awa.segment to awa_worker, awa_admin;
grant update (id, look_at), delete on awa.job_archive to awa_worker, awa_admin;
grant update, delete on awa.attempt_archive to awa_worker, awa_admin;
grant select, insert, delete on awa.changed to awa_worker, awa_admin;
grant select, delete on awa.job_override to awa_worker, awa_admin;
grant select, usage on sequence awa.job_id to awa_worker, awa_admin;
grant execute on function awa.extend_log, awa.extend_beyond, awa.clear_default, awa.leave_segment, awa.hold_jobs, awa.drop_segment to awa_worker, awa_admin;

-- lead
grant select, insert, update, delete on awa.node, awa.worker to awa_worker, awa_admin;
grant insert, update on awa.task to awa_worker, awa_admin;
grant select, insert, delete on awa.idle_node to awa_worker, awa_admin;
grant select on sequence awa.idle_nodes to awa_worker, awa_admin;
grant select, update on awa.leader to awa_worker, awa_admin;

-- control: queues, and jobs that run again
grant insert, update, delete on awa.queue to awa_admin;
grant insert on awa.unique_claim to awa_admin;
grant insert, update on awa.job_override to awa_admin;

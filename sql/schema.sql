-- Awa schema, version 1: all a fresh database gets, in the order a job meets it.
--
--   insert -> seal -> claim -> settle -> retire, with promote as the side channel
--   (scheduled and retried jobs) and rescue as the way back (dead workers).
--
-- A job's row in job_log is written once and never touched again. What moves is
-- its id: from a ready batch into a leased batch, and from there into attempt_log.
-- "The SQL itself" in Awa's documentation draws the life of one row and says who
-- writes what.
--
-- Installed by "awa migrate" inside one transaction, by an ordinary database
-- owner: no superuser, no extension. PostgreSQL 14 to 18.

-- What stands here is looked for in pg_catalog only, whichever role installs it.
set local search_path = pg_catalog, pg_temp;

do $$
begin
  if getdatabaseencoding() <> 'UTF8' then
    raise exception 'this database is encoded in %, and Awa needs UTF8: jobs are JSON, in which any character may be. '
      'Create another one: create database name encoding ''UTF8'' template template0', getdatabaseencoding()
      using errcode = 'feature_not_supported';
  end if;
end $$;

create schema awa;

-- The numbers of awa.job.model.JobState are the positions in this list, from zero;
-- attempt_log.outcome stores the number.
create type awa.job_state as enum (
  'scheduled', 'available', 'running', 'completed',
  'retryable', 'failed', 'cancelled', 'waiting_external'
);

-- Another program's schema awa may have a table of this name, too. This one is known by the
-- name of its constraint, which a dump keeps, and which no table has by accident.
create table awa.schema_version (
  version    integer primary key constraint made_by_awa_supervisor check (version > 0),
  applied_at timestamptz not null default now()
);

-- ---------------------------------------------------------------- insert

create sequence awa.job_id as bigint;

-- One row a job, insert-only, range-partitioned by id into segments.
-- xid is the producer's transaction: sealing finds new jobs by it, because ids
-- are handed out before commit and so say nothing about commit order. Null: the transaction that
-- inserted the job has put it into a batch himself (insert/file.sql).
-- statement_timestamp() is stable within a statement (so COPY stays in its fast
-- multi-row path) and, unlike now(), not as old as a long transaction.
-- No check constraints: PostgreSQL reads them again for every statement, which took
-- 35 of the 105 microseconds of an insert. check_job and the clients check.
create table awa.job_log (
  id           bigint      not null default nextval('awa.job_id'),
  xid          xid8        default pg_current_xact_id(),
  created_at   timestamptz not null default statement_timestamp(),
  run_at       timestamptz,
  priority     smallint    not null default 2,
  max_attempts smallint,   -- null: as the task says, see awa.task
  timeout_ms   integer,
  queue        text        not null default 'default',
  kind         text        not null,
  args         jsonb       not null default '{}',
  metadata     jsonb,
  tags         text[],
  expires_at    timestamptz,
  unique_key    bytea,
  unique_states smallint,
  ordering_key  bytea,
  constraint job_log_pkey primary key (id)
) partition by range (id);

create index job_log_xid on awa.job_log (xid, id) where xid is not null;

-- Catches ids beyond the last segment, so that running out of segments can
-- never refuse an insert. The leader empties it into proper segments.
create table awa.job_log_default partition of awa.job_log default;

-- Who holds which unique key. A job takes its key as it is inserted and gives it
-- up for good when it enters a state that its mask, states, leaves out (bit i is
-- the state of number i), at the latest when its row goes. An insert that wants a key
-- that is taken waits only for the transaction that is taking it or letting
-- go of it, and locks nothing. Bit 8 of states: the job has been started, although
-- no attempt tells of it (it was snoozed), so that it cannot be replaced any more.
create table awa.unique_claim (
  key    bytea    primary key,
  job_id bigint   not null,
  states smallint not null
);

create index unique_claim_job on awa.unique_claim (job_id);

-- One row a segment: the id range [first_id, end_id) and how far it is on its way out.
--   exhausted_at  the id sequence has left the range
--   open_writers  transactions that then still held a lock on the sequence: only
--                 they can own an id of this range that is not committed yet
--   closed_at     the last of them has ended
--   closed_seal   the seal generation seen after that; a seal begun two
--                 generations later has read everything the range will ever hold
--   sealed        that seal has happened
--   checked_at    when the leader last looked whether it may go
--   leaving       changes to its jobs are noted in awa.changed, and those that must live
--                 on are being moved
--   in_default    it has no partitions: its ids ran into the default ones, and are moved out
create table awa.segment (
  id           integer     generated always as identity primary key,
  first_id     bigint      not null unique,
  end_id       bigint      not null unique,
  created_at   timestamptz not null default now(),
  opened_at    timestamptz,
  exhausted_at timestamptz,
  open_writers text[],
  closed_at    timestamptz,
  closed_seal  bigint,
  sealed       boolean     not null default false,
  checked_at   timestamptz not null default '-infinity',
  leaving      boolean     not null default false,
  in_default   boolean     not null default false,
  check (first_id < end_id)
);

-- ------------------------------------------------------------------ seal

-- The sealing ledger: append-only, the newest row is the cursor. Sealed are all
-- jobs whose xid is visible in snapshot. A seal too large for one step leaves
-- target (the snapshot it works towards) and the last (xid, id) it reached.
-- system_id is the cluster the xids belong to. Jobs with ids up to foreign_id were
-- restored from another one: their xids are never compared with snapshot. Null: there are
-- none, which takes no room.
create table awa.seal_ledger (
  generation      bigint      primary key,
  base_generation bigint      not null,
  snapshot        pg_snapshot not null,
  target          pg_snapshot,
  cursor_xid      xid8        not null default '0',
  cursor_id       bigint      not null default 0,
  jobs            integer     not null,
  sealed_at       timestamptz not null default clock_timestamp(),
  system_id       bigint      not null,
  foreign_id      bigint
);

insert into awa.seal_ledger (generation, base_generation, snapshot, jobs, system_id)
select 1, 1, pg_current_snapshot(), 0, system_identifier from pg_control_system();

-- One row a restore from another cluster whose jobs (ids above "above", up to upto) have not
-- all been sealed here yet, and how far that is. snapshot, target, cursor_xid, cursor_id: what its
-- ledger said there. since: the least xid that jobs inserted here before the restore
-- was noticed can have; 3: those of restored jobs are mixed with them. holders: transactions that may still
-- bring such jobs; null: not looked yet. foreign_done: the restored jobs are sealed;
-- own_done: so are those others, but for what holders bring. at: the last (xid, id) of
-- the present pass. jobs: sealed so far.
create table awa.restored (
  upto         bigint      primary key,
  above        bigint      not null,
  snapshot     pg_snapshot not null,
  target       pg_snapshot,
  cursor_xid   xid8        not null,
  cursor_id    bigint      not null,
  since        xid8        not null,
  holders      text[],
  foreign_done boolean     not null default false,
  own_done     boolean     not null default false,
  at_xid       xid8        not null default '0',
  at_id        bigint      not null default 0,
  jobs         bigint      not null default 0
);

-- Two tables that are always empty: a transaction that holds the lock on one of them
-- is the only one that seals, or that makes segments. Advisory locks would do the same,
-- but every role that may connect can take those, and keep them. To lock a table takes
-- a right on it. Such a lock writes nothing, unlike a row's, and ends with the
-- transaction, so it works behind a transaction pooler.
create table awa.seal_lock ();
create table awa.extend_lock ();

-- Become the only sealer until the transaction ends; false: another transaction is.
-- The mode conflicts with itself, and is the strongest that takes no other session
-- the fast path for its own locks. An error that is caught here is in no server log.
create function awa.become_sealer() returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
  lock table only awa.seal_lock in share update exclusive mode nowait;
  return true;
exception when lock_not_available then
  return false;
end $$;

revoke execute on function awa.become_sealer from public;

-- One row a queue: its policy. deadline_s: what an attempt may take unless its job
-- or task says otherwise (0: as long as it likes; a queue without a row has the
-- default). dlq: whether jobs that fail go to the dead-letter queue. How many
-- hours ended jobs are kept: null: what the supervisor's settings say. serial: of
-- the jobs with one ordering key, never two run at a time. block_on_retry: those
-- behind a job wait until it has ended, although it waits for another try.
create table awa.queue (
  name                  text        primary key,
  ageing_s              integer     not null default 60 check (ageing_s >= 0),
  deadline_s            integer     not null default 300 check (deadline_s >= 0),
  dlq                   boolean     not null default false,
  retention_completed_h real        check (retention_completed_h >= 0),
  retention_failed_h    real        check (retention_failed_h >= 0),
  retention_dlq_h       real        check (retention_dlq_h >= 0),
  serial                boolean     not null default false,
  block_on_retry        boolean     not null default false,
  paused_at             timestamptz,
  paused_by             text,
  created_at            timestamptz not null default now()
);
create index queue_paused on awa.queue (name) where paused_at is not null;

-- What a priority costs in sort_at: one ageing interval a level, so that a job
-- of priority 3 comes level with one of priority 1 enqueued two intervals later.
-- An interval of 0 turns ageing off: a lower priority then never overtakes.
-- Its body is bound to what it means here, and not looked up by its caller.
create function awa.ageing(priority smallint, ageing_s integer) returns interval
language sql immutable parallel safe
return (priority - 1) * case when ageing_s = 0 then interval '1000 years'
                             else make_interval(secs => coalesce(ageing_s, 60)) end;

-- What a batch has in common: queue, kind and priority. The flags say what there may be
-- in the lane, so that others pay nothing for it: jobs with a unique key, jobs with an
-- ordering key, jobs that expire. A row is never changed, and none is looked for before it is committed:
-- a seal must not wait for an open transaction. So two may be alike.
create table awa.lane (
  id             integer generated always as identity primary key,
  queue          text     not null,
  kind           text     not null,
  priority       smallint not null,
  is_unique      boolean  not null default false,
  is_ordered     boolean  not null default false,
  is_expiring    boolean  not null default false
);

create index lane_of on awa.lane (queue, kind, priority);
create index lane_unique on awa.lane (id) where is_unique;
create index lane_ordered on awa.lane (id) where is_ordered;
create index lane_expiring on awa.lane (id) where is_expiring or is_unique;

-- The unit of dispatch. owner null: ready. owner set: leased by that worker.
-- attempts[i] counts the attempts that ids[i] has behind it (null: none has
-- any); round rises by one at each manual retry; lease_pos is the order in
-- which the owner works through its batches.
create table awa.batch (
  id          bigint      generated always as identity primary key,
  sort_at     timestamptz not null,
  leased_at   timestamptz,
  owner       integer,
  lane        integer     not null,
  retry_round smallint    not null default 0,
  lease_pos   smallint,
  ids         bigint[]    not null check (cardinality(ids) > 0),
  attempts    smallint[]
) with (
  -- Rows live for seconds; without these, dead ones pile up in front of claims.
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0
);

-- Who owns what changes by the second: statistics gathered while a few workers
-- held every batch made a later settle read the whole backlog for its own lease.
alter table awa.batch alter column owner set statistics 0;

create index batch_ready on awa.batch (lane, sort_at, id) where owner is null;
-- With leased_at, so that a settle passes the entries of the leases its worker had before:
-- a pinned vacuum horizon keeps all of them.
create index batch_leased on awa.batch (owner, leased_at) where owner is not null;

-- --------------------------------------------------------------- promote

-- Jobs put aside until a time. why: scheduled, retry or snooze.
create table awa.deferred (
  job_id      bigint      primary key,
  run_at      timestamptz not null,
  lane        integer     not null,
  retry_round smallint    not null default 0,
  attempt     smallint    not null default 0,
  why         text        not null check (why in ('scheduled', 'retry', 'snooze'))
) with (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0
);

create index deferred_due on awa.deferred (run_at, job_id);

-- Jobs that must have been started by a time: no worker starts one with a row here
-- when its time has come. expires_at: when to look. A row goes as an attempt of the job is
-- settled, or as the job is cancelled; at that time at the latest. Lanes say where there may
-- be such jobs: those that is_expiring, and those that is_unique, since a replacement brings an
-- expires_at to a job that has its lane already. No key: a seal must never wait for a
-- producer who replaces a job, and has noted it already.
create table awa.job_expiry (
  job_id     bigint      not null,
  expires_at timestamptz not null
) with (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0
);

create index job_expiry_job on awa.job_expiry (job_id);

create index job_expiry_at on awa.job_expiry (expires_at, job_id);

-- Jobs that were replaced before they had been put aside. A seal may be doing so at
-- that moment, for the time they had before: the next one corrects that.
create table awa.job_replaced (
  job_id bigint not null
);

-- ------------------------------------------------------------------ line

-- Jobs with an ordering key that have not ended, in the order in which they were
-- sealed (pos). Of a queue's jobs with one key at most one is brought to where it
-- can be claimed; it is the head. state:
--   0 away     in deferred, and no job waits for it
--   1 waiting  here and nowhere else, until the head is out of the way
--   2 head     in a batch, or in deferred where a retry holds the line
--   3 started  a worker has begun it, and the queue is not serial
--   4 stopping cancelled, or completed by its own handler, while a worker had it, and
--              the queue is serial: no job follows until that worker has let go of it,
--              or is gone
create table awa.key_line (
  job_id      bigint      primary key,
  pos         bigint      generated always as identity,
  sort_at     timestamptz not null,
  lane        integer     not null,
  retry_round smallint    not null default 0,
  attempt     smallint    not null default 0,
  state       smallint    not null check (state between 0 and 4),
  queue       text        not null,
  key         bytea       not null
);

create index key_line_waiting on awa.key_line (queue, key, pos) where state = 1;
create index key_line_head on awa.key_line (queue, key) where state >= 2;
create index key_line_stopping on awa.key_line (job_id) where state = 4;

-- Lines in which something has changed, so that there may be a new head. Written by
-- each statement that changes something; read and removed under the sealer's lock only, which
-- is why two can never become head of one line at once.
create table awa.key_freed (
  queue text  not null,
  key   bytea not null
);

-- ---------------------------------------------------------------- settle

-- One row an attempt, partitioned like job_log, never changed but for the cost
-- of an attempt that was cancelled while it ran. The primary key
-- makes it impossible to settle an attempt twice. A job whose newest row (by
-- round, attempt) has a terminal outcome is in that state. Two kinds of rows
-- are not executions and have no started_at: outcome 'available' marks a manual
-- retry (attempt 0 of a new round), and 'cancelled' without a start is a job
-- cancelled before it ran.
create table awa.attempt_log (
  job_id      bigint      not null,
  started_at  timestamptz,
  finished_at timestamptz not null,
  worker      integer,
  lane        integer     not null,
  cpu_s       real,
  peak_kb     integer,
  retry_round smallint    not null,
  attempt     smallint    not null,
  outcome     smallint    not null,
  error       jsonb,
  result      jsonb,
  constraint attempt_log_pkey primary key (job_id, retry_round, attempt)
) partition by range (job_id);

create index attempt_log_notable on awa.attempt_log (job_id) where outcome <> 3;

-- Catches attempts of ids in no segment: ids beyond the last one, and jobs in awa.job_archive
-- that are run after their segment has gone.
create table awa.attempt_log_default partition of awa.attempt_log default;

-- Outcomes per lane and minute. Settling appends; the leader folds the rows of
-- a minute into one (folded) so that reading an hour stays cheap. deaths: how
-- many of these jobs took their worker process along.
create table awa.outcome_count (
  minute  timestamptz not null,
  lane    integer     not null,
  outcome smallint    not null,
  jobs    integer     not null,
  deaths  integer     not null default 0,
  folded  boolean     not null default false
) with (autovacuum_vacuum_scale_factor = 0.05);

create index outcome_count_minute on awa.outcome_count (minute);
create index outcome_count_deaths on awa.outcome_count (minute) where deaths > 0;

-- ------------------------------------------------------------------- dlq

-- Dead letters: failed jobs that are kept longer, to be looked at. Written in the
-- transaction in which a job of a queue with dlq fails, or later by hand. The job
-- and its attempts stay where they are. runs: how often it was started in all.
create table awa.dlq (
  job_id bigint      primary key,
  dlq_at timestamptz not null default clock_timestamp(),
  lane   integer     not null,
  runs   integer     not null,
  reason text        not null
);

create index dlq_newest on awa.dlq (lane, dlq_at, job_id);

-- ---------------------------------------------------------------- retire

-- Bodies that outlive their segment: jobs still waiting, being retried, dead
-- letters, or ended and within the retention of their queue. look_at: when to look
-- whether the job may be forgotten.
create table awa.job_archive (like awa.job_log including defaults);
alter table awa.job_archive add primary key (id);
alter table awa.job_archive add look_at timestamptz not null default clock_timestamp();
create index job_archive_look on awa.job_archive (look_at);

-- Attempts that were made before the body of their job was moved to held; moved with it.
create table awa.attempt_archive (like awa.attempt_log including all);

-- Every attempt, wherever it is. A job's attempts may be in both.
create view awa.every_attempt as
select job_id, started_at, finished_at, worker, lane, cpu_s, peak_kb, retry_round, attempt, outcome, error, result
from awa.attempt_log
union all
select job_id, started_at, finished_at, worker, lane, cpu_s, peak_kb, retry_round, attempt, outcome, error, result
from awa.attempt_archive;

-- Jobs of segments that are leaving, whose attempts or dead letters have changed since
-- the segment was looked at. Written by the trigger awa.leave_segment makes, and when a session makes
-- a dead letter by hand; removed as the job is moved.
create table awa.changed (
  job_id bigint not null
);
create index changed_job on awa.changed (job_id);

-- Tables in which rows may be alike. A publication of all tables (change data capture, a
-- move to another server by logical replication) has PostgreSQL refuse every update and
-- delete in a table whose rows it cannot tell apart, whether or not it finds any: nothing
-- would be settled. This costs nothing where changes are not decoded.
alter table awa.job_expiry replica identity full;
alter table awa.job_replaced replica identity full;
alter table awa.key_freed replica identity full;
alter table awa.outcome_count replica identity full;
alter table awa.changed replica identity full;

-- What tasks say of their jobs, by kind, as the worker that has signed in last knows them: for
-- jobs that were inserted without saying it, where no worker is at hand that could tell.
create table awa.task (
  kind         text     primary key,
  max_attempts smallint not null
);

-- Jobs that are no longer in the queue, or of the priority, that their body says:
-- bodies are never changed. Few; they go with their job.
create table awa.job_override (
  job_id bigint  primary key,
  lane   integer not null
);

-- Every body, wherever it is, in the queue and of the priority that holds now.
create view awa.stored_job as
select b.id, b.created_at, b.run_at, coalesce(l.priority, b.priority) as priority,
       coalesce(b.max_attempts, t.max_attempts, 25::smallint) as max_attempts, b.timeout_ms,
       coalesce(l.queue, b.queue) as queue, b.kind, b.args, b.metadata, b.tags,
       b.expires_at, b.unique_key, b.unique_states, b.ordering_key
from (
  select id, created_at, run_at, priority, max_attempts, timeout_ms, queue, kind, args, metadata, tags,
         expires_at, unique_key, unique_states, ordering_key from awa.job_log
  union all
  select id, created_at, run_at, priority, max_attempts, timeout_ms, queue, kind, args, metadata, tags,
         expires_at, unique_key, unique_states, ordering_key from awa.job_archive
) b
left join awa.job_override r on r.job_id = b.id
left join awa.lane l on l.id = r.lane
left join awa.task t on t.kind = b.kind;

-- Runs a statement that takes a lock which conflicts with vacuum and with no insert, and waits long enough
-- for vacuum to give way. An autovacuum stops every change of a table for as long as it takes: hours where it
-- is throttled. PostgreSQL cancels it for what it makes wait, though only after deadlock_timeout, much longer than
-- a wait may take that others queue behind. None queue behind this one; so it comes first.
create function awa.have_vacuum_give_way(p_statement text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_limit text := current_setting('lock_timeout');
  v_wait  constant interval := current_setting('deadlock_timeout')::interval + interval '2 seconds';
begin
  perform set_config('lock_timeout', (extract(epoch from v_wait) * 1000)::bigint::text, true);
  execute p_statement;
  perform set_config('lock_timeout', v_limit, true);
end $$;

-- Creates segments ahead of the id sequence until p_ahead of them are unused, at
-- most eight at a time: the caller comes again. A gap wider than that (no node led
-- for long) becomes one large segment.
-- Partitions are made apart and then attached. Far ahead of the sequence that
-- locks neither readers nor producers of the logs (SHARE UPDATE EXCLUSIVE), only
-- the default partitions, for an instant. Near it that is not enough: a statement
-- that knows the old partitions would look for rows, or put one, in the default
-- partition after they were moved out of it, and a seal would miss them for good.
-- So then both logs are locked first; the caller sets lock_timeout and retries.
-- Ids that fell into the default partition are moved into their segment first;
-- those of a range that is gone (a producer chose its own) stay there. That is done for up to
-- p_move_bytes: returns null where there is more, which awa.extend_beyond leaves where it is.
create function awa.extend_log(p_segment_ids bigint, p_ahead integer, p_move_bytes bigint default 4000000) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  c_defaults constant text := 'lock table awa.job_log_default, awa.attempt_log_default in share update exclusive mode';
  v_margin constant bigint := least(100000, 2 * p_segment_ids);
  v_empty  constant bigint := 200000;    -- bytes of their indexes
  v_scan   constant bigint := 16000000;  -- bytes read in some 10 ms
  v_last   bigint;
  v_first_id     bigint;
  v_end_id     bigint;
  v_first  bigint;
  v_locked boolean := false;
  v_los    bigint[] := '{}';
  v_his    bigint[] := '{}';
  v_nos    integer[] := '{}';
  v_id     integer;
  v_made   integer := 0;
begin
  if p_segment_ids not between 1 and 1000000000 or p_ahead not between 1 and 64 then
    raise exception 'segments of % ids, % ahead: a segment has 1 to 1000000000 ids, and 1 to 64 are kept ahead',
      p_segment_ids, p_ahead using errcode = '22023';
  end if;
  lock table only awa.extend_lock in share update exclusive mode;
  if exists (select from pg_constraint where conrelid = 'awa.job_log_default'::regclass and conname like 'below\_%')
     or exists (select from awa.segment, awa.job_id where in_default and last_value between first_id and end_id - 2) then
    return null;
  end if;
  while v_made < 8 loop
    select case when is_called then last_value else last_value - 1 end into v_last from awa.job_id;
    exit when (select count(*) from awa.segment where first_id > v_last) >= p_ahead;
    select coalesce(max(end_id), 1) into v_first_id from awa.segment;
    v_first := coalesce(v_first, v_first_id);
    v_end_id := v_first_id + p_segment_ids * case when v_last - v_first_id >= 8 * p_segment_ids
                                        then (v_last - v_first_id) / p_segment_ids + 1 else 1 end;
    if v_last + v_margin >= v_first_id then
      if pg_total_relation_size('awa.job_log_default') + pg_total_relation_size('awa.attempt_log_default') > v_empty + p_move_bytes then
        exit when v_made > 0;
        return null;
      end if;
      v_locked := true;
    elsif pg_relation_size('awa.job_log_default') + pg_relation_size('awa.attempt_log_default') > v_scan then
      exit;  -- attaching reads the default partitions, locked; they are being cleared, and there is time
    end if;
    insert into awa.segment (first_id, end_id) values (v_first_id, v_end_id) returning id into v_id;
    execute format('create table awa.job_log_%s (like awa.job_log including all)', v_id);
    execute format('create table awa.attempt_log_%s (like awa.attempt_log including all)', v_id);
    v_los := v_los || v_first_id;
    v_his := v_his || v_end_id;
    v_nos := v_nos || v_id;
    v_made := v_made + 1;
  end loop;
  if v_made = 0 then
    return 0;
  end if;
  -- All locks come after the tables are made, which takes the longest.
  perform awa.have_vacuum_give_way(c_defaults);
  if v_locked then
    lock table only awa.job_log, only awa.attempt_log in access exclusive mode;
  end if;
  lock table awa.job_log_default, awa.attempt_log_default in access exclusive mode;
  for i in 1 .. v_made loop
    if exists (select from awa.job_log_default where id >= v_los[i] and id < v_his[i])
       or exists (select from awa.attempt_log_default where job_id >= v_los[i] and job_id < v_his[i]) then
      lock table only awa.job_log, only awa.attempt_log in access exclusive mode;
      v_locked := true;
      execute format('with stray as (delete from awa.job_log_default where id >= %s and id < %s returning *)
                      insert into awa.job_log_%s select * from stray', v_los[i], v_his[i], v_nos[i]);
      execute format('with stray as (delete from awa.attempt_log_default where job_id >= %s and job_id < %s returning *)
                      insert into awa.attempt_log_%s select * from stray', v_los[i], v_his[i], v_nos[i]);
    end if;
    execute format('alter table awa.job_log attach partition awa.job_log_%s for values from (%s) to (%s)',
                   v_nos[i], v_los[i], v_his[i]);
    execute format('alter table awa.attempt_log attach partition awa.attempt_log_%s for values from (%s) to (%s)',
                   v_nos[i], v_los[i], v_his[i]);
  end loop;
  if not v_locked and (select last_value from awa.job_id) + v_margin >= v_first then
    raise exception 'the id sequence came near while segments were made' using errcode = 'lock_not_available';
  end if;
  return v_made;
end $$;

-- Creates segments beyond ids that fell into the default partitions, where there are too many to be
-- moved under a lock: they stay, as a segment without partitions of its own, and new segments begin
-- a thousand million ids further on. Attaching a partition reads the whole default one, to see that
-- no row belongs into it, unless a valid constraint says so. That takes a while to be
-- validated, and no insert must meet it meanwhile: no sequence comes that far.
-- One step a call, each to be committed before the next: the constraint; its validation, beside
-- inserts; the new segments, under an exclusive lock for some milliseconds; the sequence's jump.
-- The next call goes on. Returns 1, or how many segments were made.
create function awa.extend_beyond(p_segment_ids bigint, p_ahead integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  c_defaults constant text := 'lock table awa.job_log_default, awa.attempt_log_default in share update exclusive mode';
  v_last  bigint;
  v_end   bigint;
  v_name  text;
  v_valid boolean;
  v_id    integer;
  v_nos   integer[] := '{}';
  v_ahead constant integer := least(p_ahead, 4);
begin
  if p_segment_ids not between 1 and 1000000000 or p_ahead not between 1 and 64 then
    raise exception 'segments of % ids, % ahead: a segment has 1 to 1000000000 ids, and 1 to 64 are kept ahead',
      p_segment_ids, p_ahead using errcode = '22023';
  end if;
  lock table only awa.extend_lock in share update exclusive mode;
  select last_value into v_last from awa.job_id;
  select end_id into v_end from awa.segment where in_default and v_last between first_id and end_id - 2;
  if found then
    perform setval('awa.job_id', v_end - 1);
    return 1;
  end if;
  select min(conname), bool_and(convalidated) into v_name, v_valid from pg_constraint
  where conrelid in ('awa.job_log_default'::regclass, 'awa.attempt_log_default'::regclass) and conname like 'below\_%';
  if v_name is null then
    if v_last < (select coalesce(max(end_id), 1) from awa.segment) then
      return 0;
    end if;
    v_end := v_last + 1000000000;
    perform awa.have_vacuum_give_way(c_defaults);
    execute format('alter table awa.job_log_default add constraint below_%s check (id < %s) not valid', v_end, v_end);
    execute format('alter table awa.attempt_log_default add constraint below_%s check (job_id < %s) not valid', v_end, v_end);
    return 1;
  elsif not v_valid then
    perform awa.have_vacuum_give_way(c_defaults);
    execute format('alter table awa.job_log_default validate constraint %I', v_name);
    execute format('alter table awa.attempt_log_default validate constraint %I', v_name);
    return 1;
  end if;
  v_end := substr(v_name, 7)::bigint;
  insert into awa.segment (first_id, end_id, in_default) select max(end_id), v_end, true from awa.segment;
  for i in 0 .. v_ahead - 1 loop
    insert into awa.segment (first_id, end_id) values (v_end + i * p_segment_ids, v_end + (i + 1) * p_segment_ids) returning id into v_id;
    execute format('create table awa.job_log_%s (like awa.job_log including all)', v_id);
    execute format('create table awa.attempt_log_%s (like awa.attempt_log including all)', v_id);
    v_nos := v_nos || v_id;
  end loop;
  perform awa.have_vacuum_give_way(c_defaults);
  lock table only awa.job_log, only awa.attempt_log in access exclusive mode;
  for i in 0 .. v_ahead - 1 loop
    execute format('alter table awa.job_log attach partition awa.job_log_%s for values from (%s) to (%s)',
                   v_nos[i + 1], v_end + i * p_segment_ids, v_end + (i + 1) * p_segment_ids);
    execute format('alter table awa.attempt_log attach partition awa.attempt_log_%s for values from (%s) to (%s)',
                   v_nos[i + 1], v_end + i * p_segment_ids, v_end + (i + 1) * p_segment_ids);
  end loop;
  execute format('alter table awa.job_log_default drop constraint %I', v_name);
  execute format('alter table awa.attempt_log_default drop constraint %I', v_name);
  return v_ahead;
end $$;

-- Moves attempts of held jobs that were made after their segment had gone out of the default
-- partition, so that it stays small: new segments read it. Returns how many; at most so many jobs a call.
create function awa.clear_default(p_jobs_max integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_ids  bigint[];
  v_rows integer;
begin
  select array(
    select id from awa.job_archive where id = any (array(
      select a.job_id from awa.attempt_log_default a
      where a.job_id < (select max(end_id) from awa.segment) and exists (select from awa.job_archive h where h.id = a.job_id)
      limit least(p_jobs_max, 10000)))
    for update skip locked) into v_ids;
  with gone as (delete from awa.attempt_log_default where job_id = any (v_ids) returning *)
  insert into awa.attempt_archive (job_id, started_at, finished_at, worker, lane, cpu_s, peak_kb, retry_round, attempt, outcome,
                                error, result)
  select job_id, started_at, finished_at, worker, lane, cpu_s, peak_kb, retry_round, attempt, outcome, error, result from gone;
  get diagnostics v_rows = row_count;
  return v_rows;
end $$;

-- How a segment goes, in steps that are transactions of their own, so that whatever there
-- is to move, no session waits for it: awa.leave_segment; then it is looked at; jobs that must live on are moved by
-- awa.hold_jobs, slice by slice; then awa.drop_segment. A step that is not done is made again by the next leader.

create function awa.note_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into awa.changed (job_id) values (new.job_id);
  return null;
end $$;

-- Begins to note which jobs of a segment get another attempt, or are retried (a mark in
-- attempt_log): it may be looked at from now on, and what is noted is what was changed since. The trigger is on one
-- partition, of jobs that have nearly all ended: settles elsewhere do not meet it. Waits for
-- open transactions that wrote attempts there.
create function awa.leave_segment(p_segment integer) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from awa.segment where id = p_segment and sealed and in_default) then
    update awa.segment set leaving = true where id = p_segment;  -- all its jobs are moved, so nothing has to be noted
  elsif exists (select from awa.segment where id = p_segment and sealed and not leaving) then
    -- Vacuuming what is about to be dropped is vain, and would be in the way of that.
    perform awa.have_vacuum_give_way(format('alter table awa.%s_%s set (autovacuum_enabled = false,
                                             toast.autovacuum_enabled = false)', log, p_segment))
    from unnest('{job_log,attempt_log}'::text[]) as log;
    execute format('create trigger changed after insert on awa.attempt_log_%s for each row
                    execute function awa.note_changed()', p_segment);
    update awa.segment set leaving = true where id = p_segment;
  end if;
end $$;

-- Moves jobs of a leaving segment, and attempts they have there, out of it: bodies to
-- held, attempts to attempt_held. At most so many of p_ids, from the first on, as have p_bytes
-- together (and one); those that are locked are left. Their rows are locked, so
-- a session that cancels, retries, replaces, forgets or starts such a job comes before or after; each
-- statement finds it once. Returns those that were moved, or had been, or have been forgotten.
create function awa.hold_jobs(p_segment integer, p_ids bigint[], p_bytes bigint) returns bigint[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_part text;
  v_ids  bigint[];
  v_gone bigint[];
begin
  select case when in_default then 'default' else id::text end into v_part from awa.segment where id = p_segment and leaving;
  if not found then
    raise exception 'segment % is not leaving: its jobs stay where they are', p_segment using errcode = '55000';
  end if;
  execute format('select array(
      select id from (
        select u.id, sum(coalesce(pg_column_size(j.args), 0) + coalesce(pg_column_size(j.metadata), 0))
                       over (order by u.pos rows between unbounded preceding and 1 preceding) as before
        from unnest($1) with ordinality as u(id, pos) left join awa.job_log_%s j on j.id = u.id
      ) sized where coalesce(before, 0) <= $2)', v_part) into v_ids using p_ids, p_bytes;
  select array(select u.id from unnest(v_ids) as u(id) where not exists (select from awa.stored_job b where b.id = u.id))
    into v_gone;
  execute format('with logged as (select id from awa.job_log_%s where id = any ($1) order by id for update skip locked),
                       kept as (select id from awa.job_archive where id = any ($1) order by id for update skip locked)
                  select array(select id from logged union all select id from kept)', v_part) into v_ids using v_ids;
  -- First: what is noted from here on is also for the next time.
  delete from awa.changed where job_id = any (v_ids || v_gone);
  execute format('with gone as (delete from awa.job_log_%s where id = any ($1) returning *)
    insert into awa.job_archive (id, xid, created_at, run_at, priority, max_attempts, timeout_ms, queue, kind, args, metadata,
                          tags, expires_at, unique_key, unique_states, ordering_key)
    select id, xid, created_at, run_at, priority, max_attempts, timeout_ms, queue, kind, args, metadata,
           tags, expires_at, unique_key, unique_states, ordering_key from gone', v_part) using v_ids;
  execute format('with gone as (delete from awa.attempt_log_%s where job_id = any ($1) returning *)
    insert into awa.attempt_archive (job_id, started_at, finished_at, worker, lane, cpu_s, peak_kb, retry_round, attempt, outcome,
                                  error, result)
    select job_id, started_at, finished_at, worker, lane, cpu_s, peak_kb, retry_round, attempt, outcome, error, result
    from gone', v_part) using v_ids;
  return v_ids || v_gone;
end $$;

-- Drops a segment that is leaving. The caller has verified, since it began to leave, that
-- every job in it has ended, and has moved those that must live on; p_left: those that were locked.
-- What was noted since is moved here, if it is not much: else this returns null, and
-- has changed nothing; the caller moves that and comes again. Needs an exclusive lock
-- on both logs for some milliseconds, whatever is in the segment: the caller sets a short
-- lock_timeout and retries, so no session waits longer than that behind it. Returns how many jobs were moved.
-- (DETACH ... CONCURRENTLY would not lock, but PostgreSQL refuses it on a table
-- with a default partition, which we need more.)
create function awa.drop_segment(p_segment integer, p_left bigint[]) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  c_defaults constant text := 'lock table awa.job_log_default, awa.attempt_log_default in share update exclusive mode';
  v_jobs_max constant integer := 100;
  v_bytes    constant bigint := 1000000;
  v_ids  bigint[];
  v_first_id   bigint;
  v_end_id   bigint;
begin
  delete from awa.segment s
  where id = p_segment and leaving and in_default
    and not exists (select from awa.job_log_default where id >= s.first_id and id < s.end_id);
  if found then
    return 0;
  elsif exists (select from awa.segment where id = p_segment and in_default) then
    return null;
  end if;
  perform awa.have_vacuum_give_way(c_defaults);
  lock table only awa.job_log, only awa.attempt_log in access exclusive mode;
  select first_id, end_id into v_first_id, v_end_id from awa.segment where id = p_segment and leaving;
  if not found then
    raise exception 'segment % is not leaving: it stays', p_segment using errcode = '55000';
  end if;
  select array(select unnest(p_left) union
               select job_id from (select job_id from awa.changed where job_id >= v_first_id and job_id < v_end_id
                                   limit v_jobs_max + 1) noted) into v_ids;
  if cardinality(v_ids) > v_jobs_max then
    return null;
  elsif cardinality(v_ids) > 0 then
    if cardinality(awa.hold_jobs(p_segment, v_ids, v_bytes)) < cardinality(v_ids) then
      raise exception 'too much has changed in segment %', p_segment using errcode = 'lock_not_available';
    end if;
  end if;
  execute format('drop table awa.job_log_%s, awa.attempt_log_%s', p_segment, p_segment);
  delete from awa.segment where id = p_segment;
  return cardinality(v_ids);
end $$;

revoke execute on function awa.have_vacuum_give_way, awa.extend_log, awa.extend_beyond, awa.clear_default, awa.note_changed, awa.leave_segment, awa.hold_jobs, awa.drop_segment from public;

-- Moves the id sequence up to p_least; never back. nextval cannot set it back, whatever
-- producers do meanwhile. Where that would take too long, setval is as good: no session draws
-- a million ids between the look and the set.
create function awa.raise_job_id(p_least bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_last bigint;
begin
  if p_least > greatest((select max(id) from awa.job_log), (select max(id) from awa.job_archive),
                        (select max(end_id) - 1 from awa.segment), 1) then
    raise exception 'job id %: no job and no segment has come so far', p_least using errcode = '22023';
  end if;
  lock table only awa.extend_lock in share update exclusive mode;
  select case when is_called then last_value else last_value - 1 end into v_last from awa.job_id;
  if v_last >= p_least then
    return v_last;
  elsif p_least - v_last > 1000000 then
    return setval('awa.job_id', p_least);
  end if;
  perform nextval('awa.job_id') from generate_series(1, p_least - v_last);
  return p_least;
end $$;

revoke execute on function awa.raise_job_id from public;

-- Jobs that the caller can see and no seal has routed yet: those committed a moment
-- ago, those that wait because sealing is stopped, and those of the asker's own open
-- transaction. At most p_max, the longest waiting transactions first. due: could run now;
-- since: from when on. The mirror of what the sealer reads (seal/seal.sql), with the same
-- snapshot for ledger, log and batches, so that a job is here or routed and never both. A
-- function, so that the scan is kept on job_log_xid whatever the statistics say, and that who
-- may only read need not read the ledger. "xid is not null" lets it use that index, which
-- leaves such rows out. Jobs restored from another cluster are not among them.
create function awa.unsealed(p_max integer)
returns table (id bigint, queue text, kind text, priority smallint, due boolean, since timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
  with head as materialized (
    select snapshot, target, cursor_xid, cursor_id, coalesce(foreign_id, 0) as foreign_id,
           coalesce((select min(first_id) from awa.segment where not sealed),
                    (select coalesce(max(end_id), 1) from awa.segment)) as floor
    from (select * from awa.seal_ledger order by generation desc limit 1) newest
    where pg_snapshot_xmax(snapshot) <= pg_snapshot_xmax(pg_current_snapshot())
      and system_id = (select system_identifier from pg_control_system())
  )
  select found.id, found.queue, found.kind, found.priority, found.run_at is null or found.run_at <= now(),
         greatest(found.created_at, found.run_at)
  from (
    (select j.xid, j.id, j.queue, j.kind, j.priority, j.run_at, j.created_at
     from awa.job_log j
     where j.xid is not null and j.id >= (select floor from head) and j.id > (select foreign_id from head)
       and (j.xid, j.id) >= ((select pg_snapshot_xmax(snapshot) from head), 0)
       and not coalesce((j.xid, j.id) <= ((select cursor_xid from head), (select cursor_id from head))
                        and pg_visible_in_snapshot(j.xid, (select target from head)), false)
     order by j.xid, j.id limit p_max)
    union all
    (select late.*
     from head cross join lateral pg_snapshot_xip(head.snapshot) as xip
     cross join lateral (
       select j.xid, j.id, j.queue, j.kind, j.priority, j.run_at, j.created_at
       from awa.job_log j
       where j.xid is not null and j.id >= head.floor and j.id > head.foreign_id
         and (j.xid, j.id) >= (xip, 0) and (j.xid, j.id) <= (xip, 9223372036854775807)
         and not coalesce((j.xid, j.id) <= (head.cursor_xid, head.cursor_id)
                          and pg_visible_in_snapshot(j.xid, head.target), false)
       order by j.xid, j.id limit p_max
     ) late)
  ) found order by found.xid, found.id limit p_max
$$;

revoke execute on function awa.unsealed from public;

-- ------------------------------------------------------------------ lead

-- One row a supervisor; its heartbeat stands for all its workers. kinds: what it
-- has handlers for; queues: the ones it works on (null: all). beat: how many
-- heartbeats there were. Other nodes see by their own clocks for how long it has
-- not changed: a clock that is set, the server's included, makes no node look dead.
-- heartbeat_at is for people. backend: the server process of a node that lives no
-- longer than one connection; null where that says nothing.
create table awa.node (
  id           integer generated always as identity (cycle) primary key,
  name         text        not null,
  pid          integer     not null,
  version      text        not null,
  kinds        text[]      not null default '{}',
  queues       text[],
  started_at   timestamptz not null default now(),
  heartbeat_at timestamptz not null default now(),
  beat         bigint      not null default 0,
  backend      integer
) with (fillfactor = 50);

-- One row a worker process; its id is the owner of leases. With a process a job, four
-- bytes last for months only: then ids begin again, and those in use are passed over.
create table awa.worker (
  id         integer generated always as identity (cycle) primary key,
  node_id    integer     not null references awa.node on delete cascade,
  pid        integer     not null,
  started_at timestamptz not null default now()
);
create index worker_node on awa.worker (node_id);

-- Nodes with idle workers.
create table awa.idle_node (
  node_id integer primary key references awa.node on delete cascade
);

-- How many nodes have idle workers: its last_value. Producers send a wake-up only while
-- there is one, and each of them asks. A sequence is one row that is written in place; in
-- awa.idle_node a pinned vacuum horizon keeps every row there ever was, and each insert would read
-- all of them. A change is seen at once, and is not taken back with its transaction: where that
-- has left too many, producers send wake-ups to no listener until the next change; where too few,
-- an idle node says so again after some seconds.
create sequence awa.idle_nodes as integer minvalue 0 start 0;

-- Always empty, as seal_lock is: its lock makes those who count take turns.
create table awa.idle_lock ();

-- A trigger, because a node's row goes with its node, too, whichever session removes that.
create function awa.count_idle() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_nodes integer;
begin
  lock table only awa.idle_lock in share update exclusive mode;
  v_nodes := (select count(*) from awa.idle_node);
  if v_nodes <> (select last_value from awa.idle_nodes) then
    perform setval('awa.idle_nodes', v_nodes);
  end if;
  return null;
end $$;

revoke execute on function awa.count_idle from public;

create trigger count_idle after insert or delete or truncate on awa.idle_node
for each statement execute function awa.count_idle();

-- Who may run the leader's duties. A lease in a row, not a session lock, so that
-- transaction poolers do not break it. confirmed rises each time the holder confirms
-- it; a candidate that has seen it unchanged for long enough, by its own clock, may
-- take the lease. backend: the holder's server process; null behind a pooler.
create table awa.leader (
  only_row  boolean primary key default true check (only_row),
  node_id   integer,
  term      bigint not null default 0,
  confirmed bigint not null default 0,
  backend   integer
);
insert into awa.leader default values;

-- ------------------------------------------------------------------ read

-- The public read surface: one row a job, with its state.
create view awa.jobs as
select
  b.id, b.kind, b.queue, b.args,
  case
    when last.outcome in (3, 5, 6) then (enum_range(null::awa.job_state))[last.outcome + 1]
    when d.why = 'retry' then 'retryable'::awa.job_state
    when d.why is not null then 'scheduled'::awa.job_state
    when lease.owner is not null then 'running'::awa.job_state
    when b.run_at > now() and last.outcome is null then 'scheduled'::awa.job_state
    else 'available'::awa.job_state
  end as state,
  b.priority,
  -- A leased job is in the attempt after its last one; a snoozed or a never
  -- started one is not.
  (case
    when last.outcome in (3, 5, 6) then last.attempt - (last.started_at is null)::int
    when lease.owner is not null then lease.attempt + 1
    else coalesce(last.attempt, 0)
  end)::smallint as attempt,
  b.max_attempts,
  b.timeout_ms,
  -- When a job that has failed or been retried comes back is known while it is put aside;
  -- afterwards, that it was not before its last attempt ended.
  coalesce(d.run_at, case when last.outcome in (1, 4) then greatest(b.run_at, last.finished_at) end,
           b.run_at, b.created_at) as run_at,
  case when lease.owner is not null then lease.leased_at else last.started_at end as attempted_at,
  case when last.outcome in (3, 5, 6) or d.why = 'retry' then last.finished_at end as finalized_at,
  b.created_at,
  coalesce(b.metadata, '{}'::jsonb) as metadata,
  coalesce(b.tags, '{}'::text[]) as tags,
  case when last.outcome = 3 then last.result end as result,
  array(select a.error from awa.every_attempt a
        where a.job_id = b.id and a.error is not null order by a.retry_round, a.attempt) as errors,
  b.expires_at, b.unique_key, b.ordering_key
from awa.stored_job b
left join lateral (
  select a.outcome, a.attempt, a.started_at, a.finished_at, a.result
  from awa.every_attempt a where a.job_id = b.id order by a.retry_round desc, a.attempt desc limit 1
) last on true
left join awa.deferred d on d.job_id = b.id
left join lateral (
  select w.owner, w.leased_at, coalesce(w.attempts[array_position(w.ids, b.id)], 0) as attempt
  from awa.batch w where w.owner is not null and b.id = any (w.ids) limit 1
) lease on true;

-- Every attempt of every job, readable.
create view awa.attempts as
select job_id, retry_round, attempt, (enum_range(null::awa.job_state))[outcome + 1] as outcome,
       started_at, finished_at, worker, cpu_s, peak_kb, error, result
from awa.every_attempt
where started_at is not null;

-- Which kinds of jobs their worker processes died of, in the last week.
create view awa.deaths as
select l.kind, l.queue,
       coalesce(sum(t.deaths) filter (where t.minute > now() - interval '10 minutes'), 0)::bigint as last_10_minutes,
       coalesce(sum(t.deaths) filter (where t.minute > now() - interval '1 hour'), 0)::bigint as last_hour,
       coalesce(sum(t.deaths) filter (where t.minute > now() - interval '1 day'), 0)::bigint as last_day,
       sum(t.deaths)::bigint as last_week,
       max(t.minute) as last_at
from awa.outcome_count t join awa.lane l on l.id = t.lane
where t.deaths > 0 and t.minute > now() - interval '7 days'
group by l.kind, l.queue;

-- --------------------------------------------------------------- produce

-- The public way in, from any language; Awa's own clients go it too. "SQL as a
-- contract" in the documentation says what may be relied on. What is there does not
-- change in a way that breaks a caller: a breaking change gets a new name.
create function awa.contract_version() returns integer
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as 'select 1';

create type awa.inserted_job as (
  id           bigint,
  outcome      text,
  kind         text,
  queue        text,
  state        awa.job_state,
  priority     smallint,
  attempt      smallint,
  max_attempts smallint,
  timeout_ms   integer,
  args         jsonb,
  metadata     jsonb,
  tags         text[],
  run_at       timestamptz,
  created_at   timestamptz,
  expires_at   timestamptz,
  unique_key   bytea,
  ordering_key bytea
);

-- Raises 22004, 22023 or 23514 for what no job may have. It has no search_path of its
-- own: its callers have set their own, and setting it again is work in each insert.
-- p_bytes_max: how many bytes args may take as JSON, and metadata and tags as well; 0: the
-- caller has looked at that already. What they take as jsonb says little: 12 bytes can stand
-- for a number of 16,000 digits. Writing the text takes a third of what v_huge does.
create function awa.check_job(
  p_kind text, p_queue text, p_priority integer, p_max_attempts integer, p_run_at timestamptz, p_delay_s numeric,
  p_expires_at timestamptz, p_unique_key bytea, p_unique_states integer, p_ordering_key bytea, p_timeout_ms bigint,
  p_tags text[], p_args jsonb, p_metadata jsonb, p_bytes_max integer
) returns void
language plpgsql stable as $$
declare
  -- More than clients in every language can read.
  v_depth constant jsonpath := '$.**{65}';
  v_huge  constant jsonpath := '$.** ? (@.type() == "number" && (@ > 1.7e308 || @ < -1.7e308))';
  -- Clocks differ: a time that has passed here may be to come where the job was made.
  v_skew  constant interval := '1 minute';
  -- Where JSON is so much longer than as jsonb, it consists of numbers too long to compute with.
  -- (Escaped text is 6 times as long, 1e308 is 26 times as long.) Workers go by what jobs take as jsonb.
  v_ratio constant bigint := 64;
begin
  -- Most jobs are like this: one expression costs half of what the tests below do.
  if char_length(p_kind) between 1 and 200 and char_length(p_queue) between 1 and 200
     and (p_kind || p_queue) !~ e'[\\x01-\\x1f\\x7f-\\x9f]' and p_priority between 1 and 4
     and p_max_attempts between 1 and 1000 and p_unique_states = 159 and jsonb_typeof(p_args) = 'object'
     and p_run_at is null and p_delay_s is null and p_expires_at is null and p_unique_key is null
     and p_ordering_key is null and p_timeout_ms is null and p_tags is null and p_metadata is null
     and not jsonb_path_exists(p_args, v_depth)
     -- A number beyond 1.7e308 has 309 digits; to see that all is shorter is quicker than to look at each.
     and (pg_column_size(p_args) < 400 and octet_length(p_args::text) < least(309, nullif(p_bytes_max, 0))
          or (p_bytes_max = 0 or octet_length(p_args::text) <= least(p_bytes_max, v_ratio * pg_column_size(p_args)))
             and not jsonb_path_exists(p_args, v_huge)) then
    return;
  end if;
  if p_kind is null then
    raise exception 'kind is null; a job has a kind' using errcode = '22004';
  elsif char_length(p_kind) not between 1 and 200 or p_kind ~ e'[\\x01-\\x1f\\x7f-\\x9f]' then
    raise exception 'kind % is not a name: it must be text of 1 to 200 printable characters',
      quote_literal(left(p_kind, 60)) using errcode = '23514';
  elsif char_length(p_queue) not between 1 and 200 or p_queue ~ e'[\\x01-\\x1f\\x7f-\\x9f]' then
    raise exception 'queue % is not a name: it must be text of 1 to 200 printable characters',
      quote_literal(left(p_queue, 60)) using errcode = '23514';
  elsif p_priority not between 1 and 4 then
    raise exception 'priority is %; it must be a whole number from 1 to 4', p_priority using errcode = '23514';
  elsif p_max_attempts not between 1 and 1000 then
    raise exception 'max_attempts is %; it must be a whole number from 1 to 1000', p_max_attempts using errcode = '23514';
  elsif array_ndims(p_tags) > 1 then
    raise exception 'tags has % dimensions; it must be a list', array_ndims(p_tags) using errcode = '23514';
  elsif cardinality(p_tags) > 20 then
    raise exception 'tags has % entries; a job has at most 20', cardinality(p_tags) using errcode = '23514';
  elsif array_position(p_tags, null) is not null then
    raise exception 'tags has a null in it; tags are text' using errcode = '23514';
  elsif octet_length(p_unique_key) not between 1 and 64 then
    raise exception 'unique_key has % bytes; it must have 1 to 64', octet_length(p_unique_key) using errcode = '23514';
  elsif octet_length(p_ordering_key) not between 1 and 1000 then
    raise exception 'ordering_key has % bytes; it must have 1 to 1000', octet_length(p_ordering_key)
      using errcode = '23514';
  elsif jsonb_typeof(p_args) <> 'object' then
    raise exception 'args are a JSON %; they must be an object', jsonb_typeof(p_args) using errcode = '22023';
  elsif jsonb_path_exists(p_args, v_depth) or jsonb_path_exists(p_metadata, v_depth) then
    raise exception 'args and metadata must not be nested deeper than 64' using errcode = '22023';
  elsif jsonb_path_exists(p_args, v_huge) or jsonb_path_exists(p_metadata, v_huge) then
    raise exception 'args and metadata must not hold numbers beyond 1.7e308' using errcode = '22023';
  elsif p_bytes_max < 0 then
    raise exception 'args_bytes_max is %; it must be a number of bytes, or 0 for no limit', p_bytes_max using errcode = '22023';
  elsif p_bytes_max > 0 and octet_length(p_args::text) > p_bytes_max then
    raise exception 'args takes % bytes as JSON, more than the limit of %; keep the data in a table or a file and pass a reference to it',
      to_char(octet_length(p_args::text), 'FM999,999,999,999'), to_char(p_bytes_max, 'FM999,999,999,999') using errcode = '22023';
  elsif p_bytes_max > 0 and octet_length(p_metadata::text) > p_bytes_max then
    raise exception 'metadata takes % bytes as JSON, more than the limit of %; keep the data in a table or a file and pass a reference to it',
      to_char(octet_length(p_metadata::text), 'FM999,999,999,999'), to_char(p_bytes_max, 'FM999,999,999,999') using errcode = '22023';
  elsif p_bytes_max > 0 and octet_length(p_tags::text) > p_bytes_max then
    raise exception 'tags takes % bytes, more than the limit of %; tags are words to find a job by',
      to_char(octet_length(p_tags::text), 'FM999,999,999,999'), to_char(p_bytes_max, 'FM999,999,999,999') using errcode = '22023';
  elsif p_bytes_max > 0 and (octet_length(p_args::text) > v_ratio * pg_column_size(jsonb_build_array(p_args))
                             or octet_length(p_metadata::text) > v_ratio * pg_column_size(jsonb_build_array(p_metadata))) then
    raise exception 'args and metadata must not hold numbers of thousands of digits; pass such numbers as text'
      using errcode = '22023';
  elsif p_timeout_ms not between 0 and 2147483647 then
    raise exception 'timeout_ms is %; it must be a number of milliseconds from 0 to 2147483647', p_timeout_ms
      using errcode = '22023';
  elsif p_unique_states not between 1 and 255 then
    raise exception 'unique_states is %; it must be a mask of states from 1 to 255', p_unique_states using errcode = '22023';
  elsif not (p_unique_states & 1 = 1 and (p_delay_s > 0 or p_run_at > clock_timestamp() - v_skew) is true
             or p_unique_states & 2 = 2 and (p_delay_s > 0 or p_run_at > clock_timestamp() + v_skew) is not true) then
    raise exception 'unique_states is %, which leaves out the state the job begins in: it would never hold its key',
      p_unique_states using errcode = '22023', hint = 'bit 0 is scheduled (a run_at that is to come), bit 1 is available';
  elsif p_delay_s is not null and p_run_at is not null then
    raise exception 'a job has either run_at or delay_s, not both' using errcode = '22023';
  elsif p_delay_s < 0 or p_delay_s > 3155760000 then
    raise exception 'delay_s is %; it must be a number of seconds from 0 to 3155760000', p_delay_s using errcode = '22023';
  elsif p_run_at not between '0002-01-01 00:00:00+00' and '9999-01-01 00:00:00+00'
        or p_expires_at not between '0002-01-01 00:00:00+00' and '9999-01-01 00:00:00+00' then
    raise exception 'run_at and expires_at must lie in the years 2 to 9998' using errcode = '22023';
  elsif p_expires_at <= clock_timestamp() - v_skew then
    raise exception 'expires_at is %, which has passed: the job could never start', p_expires_at using errcode = '22023';
  elsif p_expires_at <= coalesce(p_run_at, clock_timestamp() + p_delay_s * interval '1 second') then
    raise exception 'expires_at is %, before the job may start', p_expires_at using errcode = '22023';
  end if;
end $$;

-- Raises 22023 for an option that is of another JSON type than it must be.
create function awa.check_types(p_options jsonb) returns void
language plpgsql immutable as $$
declare
  v_key   text;
  v_found text;
  v_due   text;
begin
  select o.key, jsonb_typeof(o.value), t.type into v_key, v_found, v_due
  from jsonb_each(p_options) o
  join (values ('kind', 'string'), ('args', 'object'), ('queue', 'string'), ('priority', 'number'), ('run_at', 'string'),
               ('max_attempts', 'number'), ('tags', 'array'), ('unique_key', 'string'), ('unique_states', 'number'),
               ('ordering_key', 'string'), ('timeout_ms', 'number'), ('delay_s', 'number'), ('expires_at', 'string'),
               ('required', 'boolean'), ('wake', 'boolean')
       ) as t(key, type) on t.key = o.key
  where jsonb_typeof(o.value) not in (t.type, 'null') limit 1;
  if found then
    raise exception '% is a JSON %; it must be a JSON %', v_key, v_found, v_due using errcode = '22023';
  end if;
end $$;

-- Gives a job that holds a unique key, and that has not been started, the contents of
-- another one. False: it has been started, has ended, or is no more. The body's
-- lock is the turn: a worker that has leased the job leaves it alone while the body
-- is locked, and is seen here when it leased it before.
create function awa.replace_job(
  p_id bigint, p_args jsonb, p_run_at timestamptz, p_max_attempts integer, p_tags text[], p_metadata jsonb,
  p_timeout_ms integer, p_expires_at timestamptz
) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
  perform from awa.job_log where id = p_id for update;
  if not found then
    perform from awa.job_archive where id = p_id for update;
  end if;
  if not found
     or exists (select from awa.every_attempt where job_id = p_id)
     or exists (select from awa.batch where owner is not null and p_id = any (ids))
     or exists (select from awa.unique_claim where job_id = p_id and states >= 256)
     or exists (select from awa.key_line where job_id = p_id and state = 3) then
    return false;
  end if;
  update awa.job_log set args = p_args, run_at = p_run_at, max_attempts = p_max_attempts, tags = p_tags,
    metadata = p_metadata, timeout_ms = p_timeout_ms, expires_at = p_expires_at where id = p_id;
  if not found then
    update awa.job_archive set args = p_args, run_at = p_run_at, max_attempts = p_max_attempts, tags = p_tags,
      metadata = p_metadata, timeout_ms = p_timeout_ms, expires_at = p_expires_at where id = p_id;
  end if;
  update awa.deferred set run_at = coalesce(p_run_at, clock_timestamp()) where job_id = p_id;
  if not found then
    insert into awa.job_replaced values (p_id);
  end if;
  -- One that is looked at earlier is put off then.
  if p_expires_at is not null
     and not exists (select from awa.job_expiry where job_id = p_id and expires_at <= p_expires_at) then
    insert into awa.job_expiry values (p_id, p_expires_at);
  end if;
  return true;
end $$;

create function awa.insert_job(
  kind          text,
  args          jsonb       default '{}',
  queue         text        default 'default',
  priority      integer     default 2,
  run_at        timestamptz default null,
  max_attempts  integer     default null,
  tags          text[]      default null,
  metadata      jsonb       default null,
  unique_key    bytea       default null,
  unique_states integer     default 159,
  ordering_key  bytea       default null,
  opts          jsonb       default '{}',
  args_bytes_max integer    default 1000000
) returns awa.inserted_job
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  p_kind          alias for $1;
  p_args          jsonb       := coalesce($2, '{}');
  p_queue         text        := coalesce($3, 'default');
  p_priority      integer     := coalesce($4, 2);
  p_run_at        timestamptz := $5;
  p_max_attempts  integer     := $6;
  p_tags          alias for $7;
  p_metadata      jsonb       := nullif($8, 'null');
  p_unique_key    alias for $9;
  p_unique_states integer     := coalesce($10, 159);
  p_ordering_key  alias for $11;
  p_opts          alias for $12;
  p_bytes_max     integer     := coalesce($13, 1000000);
  v_timeout_ms    bigint;
  v_delay_s       numeric;
  v_expires_at    timestamptz;
  v_on_conflict   text        := 'error';
  v_unknown       text;
  v_holder        bigint;
  v_states        integer;
  v_state         awa.job_state;
  v_kind          text;
  v_tries         integer     := 0;
  v_now           timestamptz;
  v_id            bigint;
  v_wakes         boolean     := true;
  v_is_idle       boolean;
  v_job           awa.inserted_job;
begin
  if p_opts <> '{}' then
    if jsonb_typeof(p_opts) <> 'object' then
      raise exception 'opts are a JSON %; they must be an object', jsonb_typeof(p_opts) using errcode = '22023';
    end if;
    select key into v_unknown from jsonb_object_keys(p_opts) as key
    where key not in ('timeout_ms', 'delay_s', 'expires_at', 'on_conflict', 'wake') limit 1;
    if found then
      raise exception 'unknown option % in opts; there are timeout_ms, delay_s, expires_at, on_conflict and wake',
        quote_literal(v_unknown) using errcode = '22023';
    end if;
    if p_opts ?| array['timeout_ms', 'delay_s', 'expires_at', 'wake'] then
      perform awa.check_types(p_opts);
      begin
        v_timeout_ms := (p_opts ->> 'timeout_ms')::bigint;
        v_delay_s := (p_opts ->> 'delay_s')::numeric;
        v_expires_at := (p_opts ->> 'expires_at')::timestamptz;
        v_wakes := coalesce((p_opts ->> 'wake')::boolean, true);
      exception when data_exception then
        raise exception 'opts: %', sqlerrm using errcode = '22023';
      end;
    end if;
    v_on_conflict := coalesce(p_opts ->> 'on_conflict', 'error');
    if v_on_conflict not in ('error', 'skip', 'replace') then
      raise exception 'on_conflict is %; it must be error, skip or replace', quote_literal(v_on_conflict)
        using errcode = '22023';
    end if;
  end if;
  perform awa.check_job(p_kind, p_queue, p_priority, coalesce(p_max_attempts, 25), p_run_at, v_delay_s, v_expires_at, p_unique_key,
                        p_unique_states, p_ordering_key, v_timeout_ms, p_tags, p_args, p_metadata, p_bytes_max);
  v_now := clock_timestamp();
  if v_delay_s > 0 then
    p_run_at := v_now + v_delay_s * interval '1 second';
  end if;
  v_id := nextval('awa.job_id');

  -- Each statement of this loop sees what was committed before it: so the holder is
  -- found, or had let go meanwhile. The insert waits for a transaction that is just
  -- taking the key, or letting go of it, and for no other.
  while p_unique_key is not null loop
    insert into awa.unique_claim (key, job_id, states) values (p_unique_key, v_id, p_unique_states)
    on conflict do nothing;
    exit when found;
    select job_id, states into v_holder, v_states from awa.unique_claim where key = p_unique_key;
    continue when not found;
    select j.state, j.kind into v_state, v_kind from awa.jobs j where j.id = v_holder;
    if not found then
      -- Its row has just been moved by a retire, or it has been deleted by hand: a
      -- second statement sees which, unless the snapshot is the transaction's.
      v_tries := v_tries + 1;
      if v_tries > 10 or current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'job % holds the unique key %, and has moved meanwhile: try again', v_holder,
          encode(p_unique_key, 'hex') using errcode = 'serialization_failure';
      end if;
      perform from awa.stored_job where id = v_holder;
      if not found then
        delete from awa.unique_claim where key = p_unique_key and job_id = v_holder;
      end if;
      continue;
    end if;
    if (v_states >> array_position(enum_range(null::awa.job_state), v_state) - 1) & 1 = 0
       and (v_state <> 'running' or (v_states >> 1) & 1 = 0 or v_on_conflict = 'replace') then
      -- It is in a state its mask leaves out, and its key has not been let go of yet. Not
      -- so a job in a worker's lease: it lets go as it is begun, so it has not been, and
      -- may be handed back to wait once more. Only a replacement takes its key: it cannot
      -- change a job that a worker has read, and the newest contents must not be lost.
      update awa.unique_claim set job_id = v_id, states = p_unique_states
      where key = p_unique_key and job_id = v_holder;
      exit when found;
      continue;
    end if;
    if v_on_conflict = 'error' then
      raise exception 'job % holds the unique key %', v_holder, encode(p_unique_key, 'hex')
        using errcode = 'unique_violation', constraint = 'unique_claim_pkey', schema = 'awa', table = 'unique_claim',
              detail = v_holder::text, hint = 'opts on_conflict skip returns that job, replace changes one not yet started';
    end if;
    -- A producer may change what is of the kind it inserts, and nothing else.
    if v_on_conflict = 'replace' and v_kind = p_kind and awa.replace_job(v_holder, p_args, p_run_at, p_max_attempts, p_tags, p_metadata,
                                                     v_timeout_ms::integer, v_expires_at) then
      v_job.outcome := 'replaced';
    else
      v_job.outcome := 'existing';
    end if;
    select j.id, v_job.outcome, j.kind, j.queue, j.state, j.priority, j.attempt, j.max_attempts, j.timeout_ms, j.args,
           j.metadata, j.tags, j.run_at, j.created_at, j.expires_at, j.unique_key, j.ordering_key
    into v_job from awa.jobs j where j.id = v_holder;
    continue when not found;
    -- Roles that may not read jobs learn that there is one, and how it stands. Within this function the role is the
    -- owner's; who has called it is in the setting, or has logged in.
    if not has_table_privilege(coalesce(nullif(current_setting('role'), 'none'), session_user), 'awa.jobs', 'select') then
      v_job := row(v_job.id, v_job.outcome, null, null, v_job.state, null, null, null, null, null, null, null, null, null,
                   null, null, null)::awa.inserted_job;
    end if;
    if v_job.outcome = 'replaced' and v_wakes and (p_run_at > v_now) is not true
       and (select last_value from awa.idle_nodes) > 0 then
      perform pg_notify('awa:wake', '');
    end if;
    return v_job;
  end loop;

  insert into awa.job_log (id, queue, kind, priority, max_attempts, timeout_ms, run_at, args, metadata, tags, expires_at,
                           unique_key, unique_states, ordering_key)
  values (v_id, p_queue, p_kind, p_priority, p_max_attempts, v_timeout_ms, p_run_at, p_args, p_metadata, p_tags,
          v_expires_at, p_unique_key, case when p_unique_key is not null then p_unique_states end, p_ordering_key)
  returning created_at, (select last_value from awa.idle_nodes) > 0 into v_now, v_is_idle;
  -- NOTIFY serialises commits, so it is sent only while a node waits for it, and for jobs that are due.
  if v_is_idle and v_wakes and (p_run_at > v_now) is not true then
    perform pg_notify('awa:wake', '');
  end if;
  if p_max_attempts is null then
    select t.max_attempts into p_max_attempts from awa.task t where t.kind = p_kind;
    p_max_attempts := coalesce(p_max_attempts, 25);
  end if;
  return row(v_id, 'inserted', p_kind, p_queue,
             (case when p_run_at > v_now then 'scheduled' else 'available' end)::awa.job_state, p_priority, 0,
             p_max_attempts, v_timeout_ms, p_args, coalesce(p_metadata, '{}'), coalesce(p_tags, '{}'),
             coalesce(p_run_at, v_now), v_now, v_expires_at, p_unique_key, p_ordering_key)::awa.inserted_job;
end $$;

-- insert_job by the name, parameters and result that it has in the other Awa. The state
-- is only checked: a job is scheduled if and only if its run_at lies in the future.
create function awa.insert_job_compat(
  p_kind          text,
  p_queue         text          default 'default',
  p_args          jsonb         default '{}',
  p_state         awa.job_state default 'available',
  p_priority      smallint      default 2::smallint,
  p_max_attempts  smallint      default null,
  p_run_at        timestamptz   default null,
  p_metadata      jsonb         default '{}',
  p_tags          text[]        default '{}',
  p_unique_key    bytea         default null,
  p_unique_states bit(8)        default null,
  p_ordering_key  bytea         default null
) returns awa.jobs
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_states integer;
  v_id     bigint;
  v_job    awa.jobs;
begin
  if p_state in ('available', 'scheduled') is not true then
    raise exception 'p_state is %; a new job is available or scheduled', coalesce(p_state::text, 'null') using errcode = '22023';
  end if;
  -- The text of a bit string has the state of value 0 first, the number has it last.
  select sum(get_bit(p_unique_states, s) << s) into v_states from generate_series(0, 7) as s;
  select i.id into v_id
  from awa.insert_job(p_kind, p_args, p_queue, p_priority, p_run_at, p_max_attempts, p_tags, p_metadata,
                      p_unique_key, coalesce(v_states, 159), p_ordering_key) i;
  select * into v_job from awa.jobs j where j.id = v_id;
  return v_job;
end $$;

-- Many jobs at once: an array of objects, each with the parameters of insert_job and
-- the entries of its opts, but on_conflict; keys in hexadecimal. A job whose unique
-- key is taken, by an older job or by one before it in the array, is left out; if it
-- says "required": true, all are. Returns one row a job, by its place in the array from
-- 0. outcome: inserted; existing: left out, and holder is the job that holds its key (null:
-- one of these that was not inserted either); none: not inserted because of a required one. Keys are taken
-- in their order, so that two calls cannot wait for each other. args_bytes_max: as in insert_job, for each.
create function awa.insert_jobs(jobs jsonb, args_bytes_max integer default 1000000)
returns table (pos integer, id bigint, outcome text, created_at timestamptz, run_at timestamptz, holder bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  p_jobs    alias for $1;
  p_bytes_max integer := coalesce($2, 1000000);
  v_unknown text;
  v_ids     bigint[];
  v_created timestamptz[];
  v_run_at  timestamptz[];
  v_keys    bytea[];
  v_none    boolean;
  v_wakes   boolean;
begin
  if jsonb_typeof(p_jobs) is distinct from 'array' then
    raise exception 'jobs must be a JSON array of objects' using errcode = '22023';
  end if;
  select key into v_unknown
  from jsonb_array_elements(p_jobs) as e(job) cross join lateral jsonb_object_keys(job) as key
  where key not in ('kind', 'args', 'queue', 'priority', 'run_at', 'max_attempts', 'tags', 'metadata', 'unique_key',
                    'unique_states', 'ordering_key', 'timeout_ms', 'delay_s', 'expires_at', 'required', 'wake') limit 1;
  if found then
    raise exception 'unknown option % in a job', quote_literal(v_unknown) using errcode = '22023';
  end if;
  perform awa.check_types(job) from jsonb_array_elements(p_jobs) as e(job);
  with given as materialized (
    select e.ordinality as pos, nextval('awa.job_id') as id, g.kind, coalesce(g.args, '{}') as args,
           coalesce(g.queue, 'default') as queue, coalesce(g.priority, 2) as priority,
           g.max_attempts, g.tags, nullif(g.metadata, 'null') as metadata, g.timeout_ms,
           g.expires_at,
           case when g.delay_s > 0 then clock_timestamp() + g.delay_s * interval '1 second' else g.run_at end as run_at,
           decode(g.unique_key, 'hex') as unique_key, coalesce(g.unique_states, 159) as unique_states,
           decode(g.ordering_key, 'hex') as ordering_key, g.required, g.wake,
           awa.check_job(g.kind, coalesce(g.queue, 'default'), coalesce(g.priority, 2), coalesce(g.max_attempts, 25),
                         g.run_at, g.delay_s, g.expires_at, decode(g.unique_key, 'hex'), coalesce(g.unique_states, 159),
                         decode(g.ordering_key, 'hex'), g.timeout_ms, g.tags, coalesce(g.args, '{}'),
                         nullif(g.metadata, 'null'), p_bytes_max) as checked
    from jsonb_array_elements(p_jobs) with ordinality as e(job, ordinality)
    cross join lateral jsonb_to_record(e.job) as g(
      kind text, args jsonb, queue text, priority integer, run_at timestamptz, max_attempts integer, tags text[],
      metadata jsonb, unique_key text, unique_states integer, ordering_key text, timeout_ms bigint, delay_s numeric,
      expires_at timestamptz, required boolean, wake boolean)
  ), claimed as (
    insert into awa.unique_claim (key, job_id, states)
    select distinct on (g.unique_key) g.unique_key, g.id, g.unique_states from given g
    where g.unique_key is not null order by g.unique_key, g.pos
    on conflict do nothing returning job_id
  ), winning as materialized (
    select g.id from given g where g.unique_key is null union all select c.job_id from claimed c
  ), written as (
    insert into awa.job_log (id, queue, kind, priority, max_attempts, timeout_ms, run_at, args, metadata, tags,
                             expires_at, unique_key, unique_states, ordering_key)
    select g.id, g.queue, g.kind, g.priority, g.max_attempts, g.timeout_ms, g.run_at, g.args, g.metadata, g.tags,
           g.expires_at, g.unique_key, case when g.unique_key is not null then g.unique_states end, g.ordering_key
    from given g join winning w on w.id = g.id order by g.pos
    returning id, created_at, run_at
  )
  select array_agg(w.id order by g.pos), array_agg(w.created_at order by g.pos), array_agg(w.run_at order by g.pos),
         array_agg(case when w.id is null then g.unique_key end order by g.pos),
         coalesce(bool_or(w.id is null and g.required), false), bool_or(w.id is not null and coalesce(g.wake, true))
  into v_ids, v_created, v_run_at, v_keys, v_none, v_wakes
  from given g left join written w on w.id = g.id;
  if v_none then
    delete from awa.job_log where id = any (v_ids);
    delete from awa.unique_claim where job_id = any (v_ids);
    v_ids := array_fill(null::bigint, array[cardinality(v_ids)]);
  elsif v_wakes and (select last_value from awa.idle_nodes) > 0 then
    perform pg_notify('awa:wake', '');
  end if;
  return query
  select (u.pos - 1)::integer, u.id,
         case when u.id is not null then 'inserted' when u.key is not null then 'existing' else 'none' end,
         case when u.id is not null then u.created_at end, case when u.id is not null then u.run_at end,
         (select c.job_id from awa.unique_claim c where c.key = u.key)
  from unnest(v_ids, v_created, v_run_at, v_keys) with ordinality as u(id, created_at, run_at, key, pos) order by u.pos;
exception
  when invalid_text_representation or invalid_parameter_value or invalid_datetime_format or datetime_field_overflow
       or numeric_value_out_of_range or invalid_binary_representation then
  raise exception 'a job has a value that cannot be: %', sqlerrm using errcode = '22023';
end $$;

revoke execute on function awa.contract_version, awa.check_types, awa.check_job, awa.replace_job, awa.insert_job, awa.insert_job_compat, awa.insert_jobs from public;

select awa.extend_log(1000000, 4);
insert into awa.schema_version (version) values (1);

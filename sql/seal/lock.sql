-- Become the only sealer until this transaction ends, or learn that there is one.
-- Sent before seal/seal.sql in one round trip: the seal reads awa.sealer, and as
-- a statement of its own it gets a snapshot newer than the last sealer's commit.
-- A seal need not wait for the disk: lost in a crash of the server, its batches
-- and its ledger row are lost together, and the jobs are found once more.
-- The limits: whatever happens to this session half-way, others can seal soon.
-- The planner settings keep the next statement on its index, whatever the
-- statistics say of a log that has just grown.
select set_config('awa.sealer', awa.become_sealer()::text, true),
       set_config('enable_seqscan', 'off', true),
       set_config('enable_bitmapscan', 'off', true),
       set_config('jit', 'off', true),
       set_config('synchronous_commit', 'off', true),
       set_config('lock_timeout', '2s', true),
       set_config('statement_timeout', '60s', true),
       set_config('idle_in_transaction_session_timeout', '10s', true);

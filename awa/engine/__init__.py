"""The life of a job, one module a verb: insert → seal → claim → settle → retire.

A job's row in `job_log` is written once and never touched again. What moves is its id:

    producer ──insert──▶ job_log           in the producer's own transaction
                           │ seal           when it has committed (plain jobs that come many at once are
             run_at later  ▼  due           batched at once: in that same transaction)
          deferred ◀───────┴───────▶ batch, ready        up to 128 ids of one queue, kind and priority
              │                         ▲ │
              └──────promote────────────┘ │ claim        FOR UPDATE SKIP LOCKED, whole or split
              ▲                         ▲ ▼
              │                 rescue  │ batch, leased   owned by one worker
              │  retry, snooze  (owner  │ │
              └──────settle──────died)──┘ │ settle        only ids still in the lease
                                          ▼
                                    attempt_log          one row an attempt; the last one is the job's end
                                          │ retire
                                          ▼
                                  segment dropped         survivors have moved to held

Invariants, and what keeps each:

* A committed job is in exactly one place: not yet sealed, in one batch, deferred, waiting in the line of its ordering
  key, or ended. Every step moves ids within one transaction.
* Nothing is sealed twice, nothing is missed: the cursor is a snapshot, not an id, and one sealer runs at a time. What
  was batched so has no xid, and no seal meets it.
* Nothing is settled twice: a settle accepts only ids in a lease of that worker, under the lease's row lock, and the
  attempt's primary key is a second guard.
* Producers wait only for a transaction that is just taking the same unique key; and sealing never waits.
* A segment goes only when every id it could ever hold is accounted for: the transactions that held the id sequence when
  it left the range have ended, a seal begun after that is done, and each job has ended or is moved.

Rules of this package: a connection comes in, rows go out. No threads, no clock (times are the server's), no
environment.
`send_…` and `read_…` are the
halves of a call that can share a round trip with others.

In: a connection and checked values. Out: rows; nothing is kept from one call to the next.
"""

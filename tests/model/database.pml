/* The database: what is committed, who holds which lock, and what a snapshot shows.
 *
 * Tables hold committed rows only. A transaction keeps what it has written to itself (in variables of its process)
 * until it commits; a commit is one step, because PostgreSQL makes all of a transaction visible at one instant
 * (ProcArrayEndTransaction), and frees its row locks by the same act: they are held by a transaction number that is
 * no longer running. A rollback writes nothing. Jobs and transaction numbers count from 1.
 */

/* sql/schema.sql: awa.job_log. The index is the job's id, as the sequence gave it; 0: no such row. */
byte job_xid[JOBS + 1];
byte next_id = 1;

/* Transaction numbers, as far as jobs carry them. Others leave gaps, which no statement minds. */
byte next_xid = 1;
byte running;          /* bit x: transaction x has a number and has not ended */
byte committed;        /* bit x: it has committed */
byte latest_completed; /* the highest number that has ended */

/* sql/schema.sql: awa.seal, its newest row. A snapshot is xmax with the set xip, as PostgreSQL writes it. */
byte seal_gen;
byte seal_xmax = 1, seal_xip;
byte target_xmax, target_xip; /* xmax 0: target is null */
byte cur_xid, cur_id;
byte sealer;           /* the lock on awa.seal_lock: 0, or its holder */

/* sql/schema.sql: awa.batch. A batch is named after the lowest of its jobs; without any it does not exist. */
byte batch_ids[JOBS + 1];
byte batch_owner[JOBS + 1]; /* 0: ready; or the worker that has it in lease */
byte batch_lock[JOBS + 1];  /* the row lock: 0, or the session that holds it */

/* How many attempts a job has behind it. In truth awa.batch.attempts and awa.deferred.attempt: a job is in one place. */
byte attempts[JOBS + 1];

/* sql/schema.sql: awa.deferred, awa.attempt_log. */
byte deferred;
byte logged[JOBS + 1]; /* bit n: the attempt n is recorded */
byte ended;            /* jobs whose newest attempt is the last one: completed, or failed with none left */

#define BIT(n) (1 << (n))
#define HAS(set, n) (((set) >> (n)) & 1)
#define LOWEST(set) ((set) & (-(set)))
#define ALL_JOBS (BIT(JOBS + 1) - 2)

/* pg_current_snapshot(): numbers from xmax on have not ended, those in xip were running. A number that runs but lies
 * beyond the last that ended is not in xip, and need not be. */
#define NOW_XMAX (latest_completed + 1)
#define NOW_XIP (running & (BIT(NOW_XMAX) - 1))
#define VISIBLE(x, xmax, xip) ((x) < (xmax) && !HAS(xip, x))

/* Is there the committed row of job j? */
#define INSERTED(j) (job_xid[j] != 0 && HAS(committed, job_xid[j]))

/* Scratch for a single step; no part of the state. */
hidden byte i_, j_, n_, set_, places_;

/* What must not happen. Each is looked for where it would; `lost` when nobody can move any more. */
bool sealed_twice, claimed_twice, settled_twice, in_two_places, lost;
/* A key had to refuse what a lock should have prevented: keys are second guards. */
bool ledger_key_refused, attempt_key_refused;
byte sealed;           /* the jobs that a seal has routed */

/* A job is in one batch, or deferred, or ended. Looked at after every commit that moves jobs. */
inline look_for_doubles() {
  j_ = 1;
  do
  :: j_ > JOBS -> break
  :: else ->
       places_ = HAS(deferred, j_) + HAS(ended, j_);
       i_ = 1;
       do
       :: i_ > JOBS -> break
       :: else -> places_ = places_ + HAS(batch_ids[i_], j_); i_++
       od;
       if :: places_ > 1 -> in_two_places = true :: else fi;
       j_++
  od;
  assert(!in_two_places);
  places_ = 0
}

/* A row of awa.batch, new or changed. */
inline put_batch(jobs, whose) {
  i_ = 1;
  do
  :: HAS(jobs, i_) -> break
  :: else -> i_++
  od;
  if :: batch_ids[i_] -> in_two_places = true :: else fi;
  assert(!in_two_places);
  batch_ids[i_] = jobs; batch_owner[i_] = whose;
  i_ = 0
}

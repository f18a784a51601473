/* A worker: it claims, runs and settles. Each of the three is a transaction, or none.
 *
 * It may die at any time; what its session had begun is then rolled back, or committed as if nothing had happened:
 * the server learns late. The next process in its place signs in with a number of its own when the dead one has been
 * signed out. A worker that lives and finds itself signed out (it was silent for too long) does the same.
 */

#define ME (1 + w + 2 * life[w])
#define SESSION (1 + w)
#define DIES atomic { faults && !dead[w] -> faults--; dead[w] = true }

#ifdef BROKEN_CLAIM_WITHOUT_LOCK
#define TRY(n) HAS(front, n) && batch_ids[n] -> b = n
#define LOCK_CLAIMED skip
#else
#define TRY(n) HAS(front, n) && IS_READY(n) && batch_lock[n] == 0 -> b = n
#define LOCK_CLAIMED batch_lock[b] = SESSION
#endif

/* sql/nodes/register_worker.sql: a new number, never used before. */
inline sign_in() { life[w]++; signed_in[w] = true }

inline see_front() {
  d_step {
    i_ = 1;
    do
    :: i_ > JOBS -> break
    :: else ->
         if :: IS_READY(i_) -> front = front | batch_ids[i_] :: else fi;
         i_++
    od;
    i_ = 0
  }
}

/* The batch whole, or its first job as a lease of its own while the rest stays ready. */
inline take() {
  d_step {
    if :: batch_owner[b] || !batch_ids[b] -> claimed_twice = true :: else fi;
    assert(!claimed_twice);
    batch_lock[b] = 0; batch_ids[b] = 0; accepted = 0
  }
  if
  :: true
  :: todo & (todo - 1) -> accepted = todo & (todo - 1); todo = LOWEST(todo)
  fi;
  d_step {
    put_batch(todo, ME);
    if :: accepted -> put_batch(accepted, 0) :: else fi;
    accepted = 0; b = 0;
    look_for_doubles()
  }
}

/* Of what it has finished, only what is in its lease. */
inline settle() {
  d_step {
    find_lease(ME);
#ifdef BROKEN_SETTLE_WITHOUT_LEASE
    accepted = finished[w];
#else
    accepted = (n_ == NO_BATCH -> 0 : finished[w] & batch_ids[n_]);
#endif
    refuse_recorded(accepted);
    if :: accepted != finished[w] -> todo = 0 :: else fi /* refused: the whole lease may be others' by now */
  }
  if
  :: true -> d_step { record(accepted, true); take_out(accepted) } /* completed, or failed for good */
#ifdef OUTCOMES
  :: accepted -> d_step { record(accepted, false); take_out(accepted); deferred = deferred | accepted & ~ended }
  :: accepted && faults -> d_step { faults--; take_out(accepted); deferred = deferred | accepted } /* no attempt */
#endif
  fi;
  d_step {
    if :: !dead[w] -> finished[w] = 0 :: else fi; /* the dead do not hear the answer */
    accepted = 0;
    unlock_rows(SESSION);
    look_for_doubles()
  }
}

/* Where a transaction may be seen between two of its steps, and where its worker may die. */
#define OR_DIES :: DIES :: dead[w] -> goto over
#ifdef COARSE
#define NEXT_STEP skip
#else
#define NEXT_STEP break } OR_DIES od; do :: atomic { true
#endif

proctype Worker(byte w) {
  byte front;     /* the batches its claim has seen */
  byte b;         /* the one it takes */
  byte todo;      /* the jobs it believes to be its own, and has not run */
  byte accepted;

claim:
  /* sql/claim/claim.sql begins: the front of the queue by one snapshot, for a worker that is registered. */
  if
  :: atomic { signed_in[w] && READY -> see_front() }
  :: atomic { !signed_in[w] -> sign_in() }; goto claim
  :: DIES; goto grave
  fi;

  /* "for update of b skip locked": a row that nobody holds, if its newest version is still ready. */
  do
  :: atomic {
       if
       :: TRY(1) :: TRY(2)
#if JOBS == 4
       :: TRY(3) :: TRY(4)
#endif
       :: else -> goto over
       fi;
       front = 0;
       todo = batch_ids[b];
       LOCK_CLAIMED;
       NEXT_STEP;
       take(); /* its updates, and the commit */
       break
     }
  OR_DIES
  od;

work:
  /* It runs the jobs in order, and settles when it likes; what it has finished stands on the board. */
  if
  :: atomic { !dead[w] && todo -> finished[w] = todo; todo = 0 }
  :: atomic { !dead[w] && todo & (todo - 1) -> finished[w] = LOWEST(todo); todo = todo & (todo - 1) }
  :: DIES; goto grave
  :: dead[w] -> goto grave
  fi;

  do
  :: atomic {
#ifdef BROKEN_SETTLE_WITHOUT_LEASE
       true;
#else
       lock_lease(ME, SESSION); /* sql/settle/lock.sql */
       NEXT_STEP;
#endif
       settle(); /* sql/settle/settle.sql, and the commit: nobody else can change the rows it reads, they are locked */
       break
     }
  OR_DIES
  od;
  if
  :: todo && !dead[w] -> goto work
  :: else
  fi;

over: /* A transaction has ended: committed, or rolled back for the dead. */
  atomic { unlock_rows(SESSION); front = 0; b = 0; todo = 0 }
  if
  :: !dead[w] -> goto claim
  :: dead[w]
  fi;

grave:
  atomic { front = 0; b = 0; todo = 0 }
  atomic { !signed_in[w] -> dead[w] = false; finished[w] = 0; sign_in() }
  goto claim
}

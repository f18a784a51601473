/* The rescuer: a supervisor that buries its own workers, and the leader that takes silent ones for dead.
 *
 * Silence is not death: it may also sign out a worker that lives. Of one that is dead and its own, a supervisor knows
 * what it had finished (it stands on the board) and whether it was running a job; of any other it knows nothing.
 */

#define IS_SIGNED_IN(o) (signed_in[((o) - 1) % 2] && life[((o) - 1) % 2] == ((o) - 1) / 2)
#define IS_ORPHAN(b) (batch_owner[b] && !IS_SIGNED_IN(batch_owner[b]))
#define NUMBER(w) (1 + (w) + 2 * life[w])
#define RESCUER 3
#define MINE(b) (batch_lock[b] == 0 || batch_lock[b] == RESCUER)

#if defined(BROKEN_RESCUE_WITHOUT_LOCK) || defined(BROKEN_RESCUE_READS_UNLOCKED)
#define READ_LEASE true
#else
#define READ_LEASE lock_lease(owner, RESCUER)
#endif

mtype = { own, silent, orphan };

inline read_lease() {
  find_lease(owner);
  lease = n_;
  if
  :: lease != NO_BATCH -> ids = batch_ids[lease]
  :: else
  fi
}

inline rescue() {
  /* The suspect: the job that was running, if any was; unknown: the first unsettled one; of an orphan none ran. */
  if
  :: why == own ->
     settled = ids & finished[(owner - 1) % 2];
     if
     :: suspect = 0
     :: suspect = LOWEST(ids & ~settled)
     fi
  :: why == silent -> suspect = LOWEST(ids)
  :: why == orphan -> suspect = 0
  fi;
  d_step {
    n_ = settled | suspect;
    refuse_recorded(n_);
    if
    :: n_ == (settled | suspect) ->
         record(settled, true);
         record(suspect, false);
         if
         :: lease == NO_BATCH || batch_ids[lease] == 0 -> skip
         :: else ->
              batch_ids[lease] = 0; batch_owner[lease] = 0;
              n_ = ids & ~(settled | suspect);
              if :: n_ -> put_batch(n_, 0) :: else fi
         fi;
         if :: suspect & ~ended -> put_batch(suspect, 0) :: else fi; /* retried at once */
         find_lease(owner);
         /* sql/nodes/leave_worker.sql; sql/nodes/leave_node.sql, which leaves a worker that has a lease after all. */
         if
         :: why == own || why == silent && n_ == NO_BATCH -> signed_in[(owner - 1) % 2] = false
         :: else
         fi
    :: else
    fi;
    look_for_doubles()
  }
}

proctype Rescuer() {
  byte owner;       /* whose lease it takes apart */
  mtype why;
  byte lease, ids;  /* what it has read of that lease: row and ids */
  byte settled;
  byte suspect;     /* the job whose attempt is spent */

idle:
  if
  /* awa/supervisor/delegate.py: the process has ended. */
  :: atomic { dead[0] && signed_in[0] -> owner = NUMBER(0); why = own }
  :: atomic { dead[1] && signed_in[1] -> owner = NUMBER(1); why = own }
  /* awa/supervisor/peers.py, sql/rescue/stale_node.sql: nothing heard of it. */
  :: atomic { dead[0] && signed_in[0] -> owner = NUMBER(0); why = silent }
  :: atomic { dead[1] && signed_in[1] -> owner = NUMBER(1); why = silent }
  :: atomic { faults && !dead[0] && signed_in[0] -> faults--; owner = NUMBER(0); why = silent }
  :: atomic { faults && !dead[1] && signed_in[1] -> faults--; owner = NUMBER(1); why = silent }
#ifndef BROKEN_ORPHANS_LEFT
  /* sql/rescue/orphans.sql: a claim that was under way when its worker was signed out. */
  :: atomic { IS_ORPHAN(1) -> owner = batch_owner[1]; why = orphan }
  :: atomic { IS_ORPHAN(2) -> owner = batch_owner[2]; why = orphan }
#if JOBS == 4
  :: atomic { IS_ORPHAN(3) -> owner = batch_owner[3]; why = orphan }
  :: atomic { IS_ORPHAN(4) -> owner = batch_owner[4]; why = orphan }
#endif
#endif
  /* sql/promote/promote.sql: what was put aside is due. */
  :: atomic { deferred -> put_batch(deferred, 0); deferred = 0; d_step { look_for_doubles() } }; goto idle
  fi;

#if !defined(BROKEN_RESCUE_WITHOUT_LOCK) && !defined(COARSE)
  if
  :: atomic { lock_lease(owner, RESCUER) } /* sql/settle/lock.sql */
  :: atomic { faults -> faults--; goto over }
  fi;
#endif

  /* sql/rescue/rescue.sql begins: it reads the lease, behind sql/settle/settle.sql for what is known to be finished. */
  if
  :: atomic { READ_LEASE; read_lease() }
  :: atomic { faults -> faults--; goto over }
  fi;

  /* Its writes, and the commit. A row that it has not locked it waits for; then it goes by its number only. */
  if
  :: atomic { lease == NO_BATCH || MINE(lease) -> rescue() }
  :: atomic { faults -> faults--; goto over }
  fi;

over:
  atomic { unlock_rows(RESCUER); owner = 0; why = 0; lease = 0; ids = 0; settled = 0; suspect = 0 }
  goto idle
}

/* A sealer: whoever runs awa/engine/seal.py at this moment; mostly a worker that ran short of jobs. */

/* sql/seal/seal.sql, with the names it uses: a step goes on towards the target of the one before, if that had one. */
#define TO_XMAX (target_xmax -> target_xmax : NOW_XMAX)
#define TO_XIP (target_xmax -> target_xip : NOW_XIP)
#define FROM_XID (cur_xid > seal_xmax -> cur_xid : seal_xmax)
#define FROM_ID (cur_xid >= seal_xmax -> cur_id : 0)
#define BEHIND(xid, id, from_xid, from_id) ((xid) > (from_xid) || (xid) == (from_xid) && (id) > (from_id))
#define IN_RANGE(x, j) (BEHIND(x, j, FROM_XID, FROM_ID) && (x) < TO_XMAX)
#define WAS_OPEN(x, j) (HAS(seal_xip, x) && (x) >= cur_xid && ((x) != cur_xid || (j) > cur_id))

#ifdef BROKEN_CURSOR_BY_ID
/* The tempting way: everything with an id above the last one seen. */
#define FRESH(j) (INSERTED(j) && (j) > cur_id)
#else
#define FRESH(j) (INSERTED(j) && VISIBLE(job_xid[j], TO_XMAX, TO_XIP) && \
                  (IN_RANGE(job_xid[j], j) || WAS_OPEN(job_xid[j], j)))
#endif

/* Who would find nothing writes nothing, so he is left out. */
#if JOBS == 2
#define MAY_FIND (target_xmax || FRESH(1) || FRESH(2))
#elif JOBS == 4
#define MAY_FIND (target_xmax || FRESH(1) || FRESH(2) || FRESH(3) || FRESH(4))
#endif

/* A transaction gives back its lock on a table after it has become visible. In the coarse model that is one step. */
#ifdef COARSE
#define UNLOCK_SEALER if :: sealer == me -> sealer = 0 :: else fi; forget(); goto idle
#else
#define UNLOCK_SEALER skip
#endif

inline forget() {
  fresh = 0; gen = 0; snap_xmax = 0; snap_xip = 0; to_xmax = 0; to_xip = 0; at_xid = 0; at_id = 0
}

inline look() {
  d_step {
    j_ = 1; n_ = 0;
    to_xmax = TO_XMAX; to_xip = TO_XIP;
    /* The first JOBS_MAX in the order (xid, id). */
    do
    :: n_ == JOBS_MAX -> break
    :: else ->
         i_ = 0; j_ = 1;
         do
         :: j_ > JOBS -> break
         :: else ->
              if
              :: FRESH(j_) && !HAS(fresh, j_) && (i_ == 0 || job_xid[j_] < job_xid[i_]) -> i_ = j_
              :: else
              fi;
              j_++
         od;
         if
         :: i_ == 0 -> break
         :: else -> fresh = fresh | BIT(i_); at_id = i_; at_xid = job_xid[i_]; n_++
         fi
    od;
    if
    :: n_ || target_xmax -> gen = seal_gen + 1
    :: else
    fi;
    if
    :: n_ == JOBS_MAX -> snap_xmax = seal_xmax; snap_xip = seal_xip
    :: else ->
#ifdef BROKEN_CURSOR_BY_ID
         if :: fresh == 0 -> at_id = cur_id :: else fi;
#else
         at_id = 0;
#endif
         at_xid = 0;
         snap_xmax = to_xmax; snap_xip = to_xip; to_xmax = 0; to_xip = 0
    fi;
    if
    :: gen == 0 -> forget()
    :: else
    fi
  }
}

/* Batches, ledger row and cursor, committed at once. */
inline write() {
  if
#ifndef NO_KEYS
  :: gen <= seal_gen -> /* the primary key of awa.seal: rolled back */
       ledger_key_refused = true;
#ifndef KEYS_MAY_REFUSE
       assert(!ledger_key_refused)
#endif
  :: else ->
#else
  :: true ->
#endif
       d_step {
         if :: fresh & sealed -> sealed_twice = true :: else fi;
         assert(!sealed_twice);
         sealed = sealed | fresh;
         seal_gen = gen; seal_xmax = snap_xmax; seal_xip = snap_xip;
         target_xmax = to_xmax; target_xip = to_xip; cur_xid = at_xid; cur_id = at_id
       }
       /* One batch, or two: by queue, kind, priority and size. */
       if
       :: true
       :: fresh & (fresh - 1) -> put_batch(LOWEST(fresh), 0); fresh = fresh & (fresh - 1)
       fi;
       d_step {
         if :: fresh -> put_batch(fresh, 0) :: else fi;
         look_for_doubles()
       }
  fi
}

proctype Sealer(byte me) {
  byte fresh;                            /* the jobs this step has found */
  byte gen, snap_xmax, snap_xip;         /* the ledger row it will write; gen 0: none */
  byte to_xmax, to_xip, at_xid, at_id;

idle:
#if defined(BROKEN_LOCK_WITHIN_SEAL)
  /* One statement: its snapshot is taken when it begins, the lock is tried later. */
  atomic { MAY_FIND -> look() }
  if
  :: atomic { sealer == 0 -> sealer = me }
  :: sealer != 0 -> goto over
  fi;
#elif defined(BROKEN_SEAL_WITHOUT_LOCK)
  atomic { MAY_FIND -> look() }
#else
  /* sql/seal/lock.sql: tried, not waited for; who does not get it has changed nothing, and is left out. */
#ifdef COARSE
  atomic { MAY_FIND && sealer == 0 -> sealer = me; look() }
#else
  atomic { MAY_FIND && sealer == 0 -> sealer = me }
  if
  :: atomic { true -> look() } /* sql/seal/seal.sql begins: all it reads is of one snapshot */
  :: atomic { faults -> faults--; goto over }
  fi;
#endif
#endif
#ifdef BROKEN_UNLOCK_BEFORE_COMMIT
  sealer = 0;
#endif
  if
  :: gen == 0 -> goto over
  :: atomic { gen -> write(); UNLOCK_SEALER } /* until its commit nobody has seen what it wrote */
  :: atomic { faults -> faults--; goto over }
  fi;
over: /* Killed or cut off, it is rolled back, and another sealer comes. */
  atomic {
    if :: sealer == me -> sealer = 0 :: else fi;
    forget()
  }
  goto idle
}

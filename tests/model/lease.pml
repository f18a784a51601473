/* What settle, release and rescue have in common: they lock a lease, then read it by a newer snapshot. */

#define IS_READY(b) (batch_ids[b] && !batch_owner[b])
#define FREE_FOR(b, owner, me) (batch_owner[b] != (owner) || batch_lock[b] == 0 || batch_lock[b] == (me))

/* Over all batches. */
#if JOBS == 2
#define READY (IS_READY(1) || IS_READY(2))
#define LEASE_IS_FREE(o, me) (FREE_FOR(1, o, me) && FREE_FOR(2, o, me))
#elif JOBS == 4
#define READY (IS_READY(1) || IS_READY(2) || IS_READY(3) || IS_READY(4))
#define LEASE_IS_FREE(o, me) (FREE_FOR(1, o, me) && FREE_FOR(2, o, me) && FREE_FOR(3, o, me) && FREE_FOR(4, o, me))
#endif

/* sql/settle/lock.sql. It waits until nobody else holds a row of the lease, and locks those that are still of it:
 * PostgreSQL looks at the newest version of a row it has waited for. It sees no batch that is claimed meanwhile. */
inline lock_lease(owner, me) {
  LEASE_IS_FREE(owner, me);
  i_ = 1;
  do
  :: i_ > JOBS -> break
  :: else ->
       if :: batch_owner[i_] == (owner) -> batch_lock[i_] = me :: else fi;
       i_++
  od;
  i_ = 0
}

/* A transaction has ended: its row locks are gone. */
inline unlock_rows(me) {
  i_ = 1;
  do
  :: i_ > JOBS -> break
  :: else ->
       if :: batch_lock[i_] == (me) -> batch_lock[i_] = 0 :: else fi;
       i_++
  od;
  i_ = 0
}

/* The batch that this worker has in lease, into n_: it claims one at a time, when the last has been worked off. */
inline find_lease(owner) {
  i_ = 1; n_ = NO_BATCH;
  do
  :: i_ > JOBS -> break
  :: else ->
       if
       :: batch_owner[i_] == (owner) -> assert(n_ == NO_BATCH); n_ = i_
       :: else
       fi;
       i_++
  od;
  i_ = 0
}

/* sql/schema.sql: the primary key of awa.attempt_log. set_: the jobs whose next attempt is recorded already. */
inline find_recorded(jobs) {
  j_ = 1; set_ = 0;
  do
  :: j_ > JOBS -> break
  :: else ->
       if :: HAS(jobs, j_) && HAS(logged[j_], attempts[j_] + 1) -> set_ = set_ | BIT(j_) :: else fi;
       j_++
  od;
  i_ = 0
}

/* The key refuses one of them: all is rolled back. */
inline refuse_recorded(jobs) {
#ifndef NO_KEYS
  find_recorded(jobs);
  if :: set_ -> attempt_key_refused = true; jobs = 0 :: else fi;
#ifndef KEYS_MAY_REFUSE
  assert(!attempt_key_refused);
#endif
#endif
  set_ = 0
}

/* The rows of awa.attempt_log for a set of jobs; whether these attempts are their last. */
inline record(jobs, is_last) {
  find_recorded(jobs);
  if :: set_ || (jobs) & ended -> settled_twice = true :: else fi;
  assert(!settled_twice);
  j_ = 1;
  do
  :: j_ > JOBS -> break
  :: else ->
       if
       :: HAS(jobs, j_) ->
            logged[j_] = logged[j_] | BIT(attempts[j_] + 1);
            if
            :: is_last || attempts[j_] + 1 >= ATTEMPTS_MAX -> ended = ended | BIT(j_)
            :: else -> attempts[j_]++
            fi
       :: else
       fi;
       j_++
  od;
  i_ = 0
}

/* Take jobs out of their batch; the last one takes the row with it. */
inline take_out(jobs) {
  n_ = 1;
  do
  :: n_ > JOBS -> break
  :: else ->
       if
       :: batch_ids[n_] & (jobs) ->
            set_ = batch_ids[n_] & ~(jobs);
            places_ = batch_owner[n_];
            batch_ids[n_] = 0; batch_owner[n_] = 0;
            if :: set_ -> put_batch(set_, places_) :: else fi
       :: else
       fi;
       n_++
  od;
  n_ = 0; set_ = 0; places_ = 0
}

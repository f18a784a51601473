/* The whole: two producers, two sealers, two workers, one rescuer, over one database.
 *
 * tests/model/README.md says how to read it and how to run it. Sizes and faults may be given with -D.
 */

#ifndef JOBS_EACH
#define JOBS_EACH 1     /* jobs that a producer inserts in its transaction */
#endif
#ifndef JOBS_MAX
#define JOBS_MAX 99     /* jobs of one step of a seal */
#endif
#ifndef ATTEMPTS_MAX
#define ATTEMPTS_MAX 2
#endif
#ifndef FAULTS
#define FAULTS 2        /* crashes of anybody at any step, and workers that live and are taken for dead; together */
#endif

#define JOBS (2 * JOBS_EACH)
#define NO_BATCH 255

byte faults = FAULTS;

/* sql/schema.sql: awa.worker. A worker's number is made of its place (0 or 1) and how many have been there before. */
bool signed_in[2] = true;
byte life[2];
bool dead[2];       /* the process has ended */
byte finished[2];   /* the board: the jobs it has finished and, as far as it knows, not settled */

#include "database.pml"
#include "producer.pml"
#include "sealer.pml"
#include "lease.pml"
#include "worker.pml"
#include "rescuer.pml"

/* When nobody can move: whoever was committed has ended. */
proctype Judge() {
  timeout ->
    d_step {
      j_ = 1;
      do
      :: j_ > JOBS -> break
      :: else ->
           if :: INSERTED(j_) && !HAS(ended, j_) -> lost = true :: else fi;
           j_++
      od;
      assert(!lost)
    }
}

init {
  atomic {
    run Producer(); run Producer();
    run Sealer(1); run Sealer(2);
    run Worker(0); run Worker(1);
    run Rescuer();
    run Judge()
  }
}

/* A producer: one transaction that inserts jobs.
 *
 * The id comes first (a sequence is outside of transactions), the transaction number with the first write, the commit
 * at any later time: three steps, so the orders of ids, numbers and commits differ in every possible way.
 */

inline end_transaction(x) {
  running = running & ~BIT(x);
  if :: x > latest_completed -> latest_completed = x :: else fi
}

proctype Producer() {
  byte taken, unwritten, xid;

  do
  :: taken < JOBS_EACH ->
       /* sql/insert/take_ids.sql, or the column's default in sql/insert/insert.sql */
       atomic { unwritten = unwritten | BIT(next_id); next_id++; taken++ }

  :: unwritten ->
       /* sql/insert/insert.sql, sql/insert/copy.sql: the rows, with pg_current_xact_id() in them */
       d_step {
         if
         :: xid == 0 -> xid = next_xid; next_xid++; running = running | BIT(xid)
         :: else
         fi;
         j_ = 1;
         do
         :: j_ > JOBS -> break
         :: else -> if :: HAS(unwritten, j_) -> job_xid[j_] = xid :: else fi; j_++
         od;
         unwritten = 0
       }

  :: taken == JOBS_EACH && !unwritten ->
       d_step { /* commit */
         committed = committed | BIT(xid);
         end_transaction(xid)
       }
       break

  :: d_step {
         faults -> /* killed, or rolled back: a gap in the ids, and perhaps in the numbers */
         faults--;
         if :: xid -> end_transaction(xid) :: else fi
       }
       break
  od;
  atomic { taken = 0; unwritten = 0; xid = 0 }
}

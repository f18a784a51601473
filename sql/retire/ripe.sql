-- Sealed segments old enough to be looked at, oldest first. The newest stays: new
-- ones continue behind it, and without it they would begin at id 1 again.
-- Parameters: retention_s (completed and cancelled jobs), recheck_s.
update awa.segment s set checked_at = clock_timestamp()
from (select no from awa.segment
      where sealed and hi < (select max(hi) from awa.segment)
        and passed_at <= clock_timestamp() - make_interval(secs => %(retention_s)s)
        and checked_at <= clock_timestamp() - make_interval(secs => %(recheck_s)s)
      order by lo limit 4 for update skip locked) old
where s.no = old.no
returning s.no, s.lo, s.hi;

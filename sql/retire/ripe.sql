-- Sealed segments old enough to be looked at, oldest first. The newest stays: new
-- ones continue behind it, and without it they would begin at id 1 again.
-- A queue that keeps its jobs for less than is usual has segments looked at early,
-- the more rarely the older they are, since most will hold others' jobs as well.
-- Parameters: retention_s (completed and cancelled jobs), recheck_s.
update awa.segment s set checked_at = clock_timestamp()
from (select id, early from awa.segment
      cross join lateral (select exhausted_at > clock_timestamp() - make_interval(secs => %(retention_s)s) as early) age
      where sealed and not in_default and end_id < (select max(end_id) from awa.segment)
        and exhausted_at <= clock_timestamp() - make_interval(
              secs => least(%(retention_s)s, (select min(retention_completed_h) * 3600 from awa.queue)))
        and checked_at <= clock_timestamp() - %(recheck_s)s * interval '1 second'
              * case when early then 1 + extract(epoch from clock_timestamp() - exhausted_at) / 3600 else 1 end
      order by first_id limit 4 for update of segment skip locked) old
where s.id = old.id
returning s.id, s.first_id, s.end_id, old.early, s.leaving;

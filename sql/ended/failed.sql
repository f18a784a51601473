-- Failed jobs that are no dead letters, oldest first: what a bulk operation takes on
-- next. Parameters: queue, kind (null: any); above, upto (ids above the one, up to the
-- other); jobs_max.
-- Returns the jobs looked at, and whether each is one: a step looks at so many and no
-- more, whatever the statistics say. If all that are left were looked at, and only
-- then cut to so many, each step would take as long as all steps together should.
-- Index: attempt_log_notable, so the 5 stands here: as a parameter it would hide that
-- the index has all there is to find.
with lanes as materialized (
  select id from awa.lane
  where (%(queue)s::text is null or queue = %(queue)s) and (%(kind)s::text is null or kind = %(kind)s)
), looked as materialized (
  select job_id from awa.every_attempt
  where outcome = 5 and job_id > %(above)s and job_id <= %(upto)s and lane = any (array(select id from lanes))
  order by job_id limit %(jobs_max)s
)
select u.job_id, last.outcome = 5 and last.lane = any (array(select id from lanes))
                 and not exists (select from awa.dlq d where d.job_id = u.job_id) as is_one
from (select distinct job_id from looked) u
cross join lateral (select a.lane, a.outcome from awa.every_attempt a where a.job_id = u.job_id
                    order by a.retry_round desc, a.attempt desc limit 1) last
order by u.job_id;

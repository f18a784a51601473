-- The segment that ids come from, if it is older than age_s seconds and in use:
-- small installations must forget too. Returns the ids left in it.
select s.id, s.end_id - 1 - q.last_value as ids_left
from awa.segment s, awa.job_id q
where not s.in_default and q.is_called and q.last_value >= s.first_id and q.last_value < s.end_id - 1
  and s.opened_at < clock_timestamp() - make_interval(secs => %(age_s)s);

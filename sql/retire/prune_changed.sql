-- Forget what was noted of jobs whose segment is not leaving (dead letters made by hand).
-- Parameter: jobs_max (looked at).
delete from awa.changed where ctid = any (array(
  select c.ctid from awa.changed c
  where not exists (select from awa.segment s where s.leaving and s.first_id <= c.job_id and s.end_id > c.job_id)
  limit %(jobs_max)s));

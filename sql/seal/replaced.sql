-- Correct the time of jobs that were replaced while a seal was putting them aside for
-- the time they had before. Runs under seal/lock.sql, behind the seal and in another
-- statement, as seal/advance.sql does: it sees what that seal has put aside; and a job
-- that is still unsealed will be sealed as it is now.
with gone as (
  delete from awa.replaced where current_setting('awa.sealer', true) = 'true' returning job_id
)
update awa.deferred d set run_at = coalesce(b.run_at, b.created_at) from awa.body b
where b.id = d.job_id and d.why = 'scheduled' and d.job_id = any (array(select job_id from gone))
  and b.id = any (array(select job_id from gone));

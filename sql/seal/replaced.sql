-- Correct the time of jobs that were replaced while a seal was putting them aside for
-- the time they had before. Runs under seal/lock.sql, behind the seal and in another
-- statement, as seal/advance.sql does: it sees what that seal has put aside; and a job
-- that is still unsealed will be sealed as it is now.
-- A locked one, which is being replaced or cancelled, is not waited
-- for: it is looked at again by the next seal.
with noted as materialized (
  select distinct job_id from awa.job_replaced where current_setting('awa.sealer', true) = 'true'
), aside as materialized (
  select job_id from awa.deferred where why = 'scheduled' and job_id = any (array(select job_id from noted))
), free as materialized (
  select job_id from awa.deferred where job_id = any (array(select job_id from aside)) for update skip locked
), moved as (
  update awa.deferred d set run_at = coalesce(b.run_at, b.created_at) from awa.stored_job b
  where b.id = d.job_id and d.job_id = any (array(select job_id from free)) and b.id = any (array(select job_id from free))
)
delete from awa.job_replaced where job_id = any (array(
  select job_id from noted
  except (select job_id from aside except select job_id from free)));

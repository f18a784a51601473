-- Take unique keys for a bulk insert of the same transaction. Of jobs with the same
-- key the first gets it. Returns the jobs whose keys are taken, the duplicates.
-- Keys are taken in their order: two bulk inserts that want the same ones cannot wait
-- for each other.
-- Parameters, parallel arrays: keys bytea[]; ids bigint[]; states smallint[].
with wanted as materialized (
  select key, job_id, states
  from unnest(%(keys)s::text::bytea[], %(ids)s::bigint[], %(states)s::smallint[]) as g(key, job_id, states)
), claimed as (
  insert into awa.unique_claim (key, job_id, states)
  select distinct on (key) key, job_id, states from wanted order by key, job_id
  on conflict do nothing
  returning job_id
)
select job_id from wanted where job_id not in (select job_id from claimed);

-- Take unique keys for a bulk insert of the same transaction. Of jobs with the same
-- key the first gets it. Returns the jobs that have theirs now; the others are
-- duplicates. Keys are taken in their order: two bulk inserts that want the same
-- ones cannot wait for each other.
-- Parameters, parallel arrays: keys bytea[]; ids bigint[]; states smallint[].
insert into awa.unique_claim (key, job_id, states)
select distinct on (key) key, job_id, states
from unnest(%(keys)s::bytea[], %(ids)s::bigint[], %(states)s::smallint[]) as g(key, job_id, states)
order by key, job_id
on conflict do nothing
returning job_id;

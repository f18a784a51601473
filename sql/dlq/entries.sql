-- Dead letters with their jobs, newest first. Parameter: ids bigint[].
select d.reason, d.dlq_at, d.runs, j.*
from unnest(%(ids)s::bigint[]) as wanted(id)
join awa.dlq d on d.job_id = wanted.id
join awa.jobs j on j.id = wanted.id
order by d.dlq_at desc, d.job_id desc;

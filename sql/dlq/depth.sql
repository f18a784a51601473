-- How many dead letters each queue has, the fullest first.
select l.queue, count(*)::bigint as jobs
from awa.dlq d join awa.lane l on l.id = d.lane
group by l.queue order by jobs desc, l.queue;

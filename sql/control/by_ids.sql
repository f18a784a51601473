-- Jobs by id, newest first. Parameters: ids bigint[].
select j.* from unnest(%(ids)s::bigint[]) as wanted(id) join awa.jobs j on j.id = wanted.id order by j.id desc;

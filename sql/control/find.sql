-- Where a job is. Parameter: id. batch: the batch that holds it, locked; without
-- one and not deferred nor ended, it is unsealed, or was moving at this instant.
select b.id as batch from awa.stored_job j
join awa.lane l on l.queue = j.queue and l.kind = j.kind and l.priority = j.priority
join awa.batch b on b.lane = l.id and j.id = any (b.ids)
where j.id = %(id)s
for update of b;

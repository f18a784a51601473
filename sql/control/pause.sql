-- Stop claims from a queue; running jobs finish, inserts go on. Parameters: queue, paused_by.
insert into awa.queue (name, paused_at, paused_by) values (%(queue)s, now(), %(paused_by)s)
on conflict (name) do update set paused_at = now(), paused_by = excluded.paused_by;

-- A supervisor (or a process working inline) enters. Parameters: name, pid, version,
-- kinds text[], queues text[] or null.
insert into awa.node (name, pid, version, kinds, queues)
values (%(name)s, %(pid)s, %(version)s, %(kinds)s::text[], %(queues)s::text[]) returning id;

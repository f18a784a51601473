-- A supervisor (or a process working inline) enters. Parameters: name, pid, version,
-- kinds text[], queues text[] or null; is_inline (the node lives no longer than this
-- connection, and that has a server process of its own).
insert into awa.node (name, pid, version, kinds, queues, backend)
values (%(name)s, %(pid)s, %(version)s, %(kinds)s::text[], %(queues)s::text[],
        case when %(is_inline)s then pg_backend_pid() end) returning id;

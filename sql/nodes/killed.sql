-- Nodes that live no longer than one connection, and whose server process has ended:
-- a process that worked inline and was killed. One whose process id another session has
-- got meanwhile is left to its silence.
select id, beat from awa.node where backend is not null and not exists (select from pg_stat_get_activity(backend));

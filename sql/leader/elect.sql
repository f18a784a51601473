-- Take or confirm the leadership.
--
-- Parameters: node; lapsed (a value of confirmed that has not changed for as long as a
--   leader is trusted, by the candidate's own clock; null: none); pooled (true: behind a
--   transaction pooler, where the connection's server process says nothing).
-- Returns the term when this node leads, else null; and confirmed, as it is now.
-- A leader that has signed out or was declared dead, or whose server process has ended,
-- is followed at once: a killed leader's process ends with its connection. One that has
-- only lost its connection may be followed, too.
-- No clock of the server decides: a step of it would depose the leader, or keep a
-- dead one for as long as the step.
-- Two leaders at once are harmless: every duty is guarded by row locks or keys.
with taken as (
  update awa.leader l
  set node_id = %(node)s, confirmed = confirmed + 1, term = term + (node_id is distinct from %(node)s)::int,
      backend = case when not %(pooled)s then pg_backend_pid() end
  where node_id = %(node)s or node_id is null or confirmed = %(lapsed)s::bigint
     or not exists (select from awa.node n where n.id = l.node_id)
     or backend is not null and not exists (select from pg_stat_get_activity(l.backend))
  returning term, confirmed
)
select (select term from taken), coalesce((select confirmed from taken), confirmed) from awa.leader;

-- Move jobs out of a leaving segment. Parameters: no, ids bigint[] (of at most one slice), bytes
-- (of bodies). Returns those that are out of it.
select unnest(awa.hold_jobs(%(id)s, %(ids)s::bigint[], %(bytes)s));

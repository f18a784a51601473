-- A worker says what its tasks say of their jobs. Parameters: kinds text[], and, in the same
-- order, max_attempts int[]. Index: the primary key.
-- What is known already is not written again: a conflict would lock its row even where nothing
-- changes. In order of kinds, so that two workers that tell the same cannot wait for each other.
insert into awa.task (kind, max_attempts)
select g.kind, g.max_attempts
from unnest(%(kinds)s::text[], %(max_attempts)s::int[]) as g(kind, max_attempts)
left join awa.task t on t.kind = g.kind
where t.max_attempts is distinct from g.max_attempts
order by g.kind
on conflict (kind) do update set max_attempts = excluded.max_attempts;

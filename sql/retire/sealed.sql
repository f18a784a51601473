-- Note which closed segments have been sealed to the last job. Returns how many
-- still wait for that: then the leader seals, found or not, to move the cursor.
-- None is while jobs of a restore are still being sealed (seal/reseal.sql).
with done as (
  update awa.segment s set sealed = true
  where not sealed and closed_gen is not null and not exists (select from awa.restored)
    and exists (select from awa.seal where target is null and base_gen >= s.closed_gen + 2)
  returning no
)
select count(*)::int as waiting from awa.segment
where closed_at is not null and not sealed and no not in (select no from done);

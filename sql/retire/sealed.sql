-- Note which closed segments have been sealed to the last job. Returns how many
-- still wait for that: then the leader seals, found or not, to move the cursor.
-- None is while jobs of a restore are still being sealed (seal/reseal.sql).
with done as (
  update awa.segment s set sealed = true
  where not sealed and closed_seal is not null and not exists (select from awa.restored)
    and exists (select from awa.seal_ledger where target is null and base_generation >= s.closed_seal + 2)
  returning id
)
select count(*)::int as waiting from awa.segment
where closed_at is not null and not sealed and id not in (select id from done);

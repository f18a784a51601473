-- The seal generation after the segment was closed: a statement of its own, so
-- that it is read later. Generation + 1 may have begun before; + 2 cannot have.
update awa.segment set closed_seal = (select max(generation) from awa.seal_ledger) where closed_at is not null and closed_seal is null;

-- Forget old rows of the sealing ledger; only the newest is the cursor.
delete from awa.seal where gen < (select max(gen) from awa.seal) - 100;

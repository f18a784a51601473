-- Forget old rows of the sealing ledger; only the newest is the cursor.
delete from awa.seal_ledger where generation < (select max(generation) from awa.seal_ledger) - 100;

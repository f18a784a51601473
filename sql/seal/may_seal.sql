-- Whether this role may seal, here and now, or may only look: so it is in a transaction that the
-- application has made read-only, and on a server that follows another one.
select has_table_privilege('awa.seal_ledger', 'insert') and has_table_privilege('awa.batch', 'insert')
  and current_setting('transaction_read_only') = 'off' as may;

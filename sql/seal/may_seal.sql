-- Whether this role may seal, or may only look.
select has_table_privilege('awa.seal', 'insert') and has_table_privilege('awa.batch', 'insert') as may;

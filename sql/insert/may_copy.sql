-- Whether this role may write to the log and to the table of unique keys itself; and
-- whether it may put what it has written into batches, too.
select has_table_privilege('awa.job_log', 'insert') and has_table_privilege('awa.unique_claim', 'insert') as may_copy,
       has_table_privilege('awa.batch', 'insert') and has_table_privilege('awa.batch', 'select')
         and has_table_privilege('awa.lane', 'insert') and has_table_privilege('awa.lane', 'select')
         and has_table_privilege('awa.queue', 'select') as may_file;

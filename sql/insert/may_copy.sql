-- Whether this role may write to the log and to the table of unique keys itself.
select has_table_privilege('awa.job_log', 'insert') and has_table_privilege('awa.unique_claim', 'insert');

-- How long claim/await.sql may wait: what a claimer needs, many times over. Runs
-- before it in one transaction.
select set_config('lock_timeout', '50ms', true);

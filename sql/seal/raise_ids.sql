-- Move the id sequence up to where it must be at least. Runs under seal/lock.sql, behind
-- seal/doubt.sql in one transaction: so no seal passes over what got an id before.
-- Parameter: least.
select awa.raise_job_id(%(least)s) where current_setting('awa.sealer', true) = 'true';

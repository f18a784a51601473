-- Whether expire/expire.sql has anything to look at: it takes milliseconds to be
-- planned alone, and hardly ever has. Index: expiring_at (expires_at, job_id).
select exists (select from awa.expiring where expires_at <= now());

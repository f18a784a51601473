-- Whether expire/expire.sql has anything to look at: it takes milliseconds to be
-- planned alone, and hardly ever has. Index: job_expiry_at (expires_at, job_id).
select exists (select from awa.job_expiry where expires_at <= now());

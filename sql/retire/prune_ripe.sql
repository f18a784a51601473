-- Held jobs that it is time to look at, locked. Whether they may be forgotten is looked
-- at by retire/prune_archive.sql, a statement of its own: one of them may have been
-- retried by hand, or made a dead letter, while this one ran.
-- Parameter: jobs_max. Index: job_archive_look: it must not read what need not be looked at.
select id from awa.job_archive where look_at <= clock_timestamp()
order by look_at limit %(jobs_max)s for update skip locked;

-- Held jobs that it is time to look at, locked. Whether they may be forgotten is looked
-- at by retire/prune_held.sql, a statement of its own: one of them may have been
-- retried by hand, or made a dead letter, while this one ran.
-- Parameter: jobs_max. Index: held_look: it must not read what need not be looked at.
select id from awa.held where look_at <= clock_timestamp()
order by look_at limit %(jobs_max)s for update skip locked;

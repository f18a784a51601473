-- Whether ids have run past the last segment, into the default partition.
select last_value >= (select coalesce(max(end_id), 1) from awa.segment) as overflown from awa.job_id;

-- Note when the id sequence has left a segment. Must be committed before
-- retire/pass_by.sql looks who still holds the sequence.
update awa.segment set passed_at = clock_timestamp()
where passed_at is null and hi <= (select case when is_called then last_value + 1 else last_value end from awa.job_id);

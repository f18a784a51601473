-- Note when the id sequence has left a segment. Must be committed before
-- retire/note_open_writers.sql looks who still holds the sequence.
update awa.segment set exhausted_at = clock_timestamp()
where exhausted_at is null and end_id <= (select case when is_called then last_value + 1 else last_value end from awa.job_id);

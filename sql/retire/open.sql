-- Note when the id sequence enters a segment.
update awa.segment set opened_at = clock_timestamp()
where opened_at is null and first_id <= (select case when is_called then last_value else last_value - 1 end from awa.job_id);

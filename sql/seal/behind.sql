-- Whether the id sequence is behind ids that are in use or were: after a switch-over by
-- logical replication, which does not copy sequences, or a restore without their values.
-- Returns nothing unless it is; else where it is, and where it must be at least. The
-- sequence is read as it is now, the rest as the statement began, so it may only look as
-- if it were further on. Index: the primary keys, one probe a partition.
select at, least
from (select case when is_called then last_value else last_value - 1 end as at from awa.job_id) s,
     (select greatest((select max(id) from awa.job_log), (select max(id) from awa.job_archive),
                      (select max(first_id) from awa.segment where opened_at is not null),
                      (select max(end_id) - 1 from awa.segment where exhausted_at is not null)) as least) u
where at < least;

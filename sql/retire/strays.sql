-- Segments whose ids fell into the default partitions, sealed: their jobs are all moved to held.
select id, first_id, end_id, true as early from awa.segment where in_default and sealed order by first_id;

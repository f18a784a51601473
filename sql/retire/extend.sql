-- Create segments ahead. Parameters: segment_ids, ahead, move_bytes (of ids that fell beside the last segment).
-- Returns how many; null: there is more than that to move, or retire/extend_beyond.sql has begun.
select awa.extend_log(%(segment_ids)s, %(ahead)s, %(move_bytes)s) as made;

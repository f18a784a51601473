-- Create segments ahead. Parameters: segment_ids, ahead. Returns how many.
select awa.extend_log(%(segment_ids)s, %(ahead)s) as made;

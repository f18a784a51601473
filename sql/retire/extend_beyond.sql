-- Create segments beyond ids that fell into the default partitions, one step a call.
-- Parameters: segment_ids, ahead. Returns 0 when there is nothing to do.
select awa.extend_beyond(%(segment_ids)s, %(ahead)s) as made;

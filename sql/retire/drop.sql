-- Drop a segment that is leaving. Parameters: no, left_over bigint[] (jobs that must live on and
-- were locked). Returns how many jobs were moved with it; null: too much has changed.
select awa.drop_segment(%(id)s, %(left_over)s::bigint[]);

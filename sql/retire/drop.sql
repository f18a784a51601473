-- Drop a verified segment. Parameters: no, survivors bigint[], since (when it
-- was verified; a minute earlier is asked for, because attempts carry the time of
-- their end, not of their commit). Returns how many bodies live on.
select awa.drop_segment(%(no)s, %(survivors)s::bigint[], %(since)s::timestamptz - interval '1 minute') as held;

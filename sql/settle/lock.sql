-- Lock a worker's lease before reading it. A statement of its own: the one behind
-- it gets a snapshot that shows what cancel or rescue did while this one waited.
-- Parameter: worker. Index: batch_leased (owner).
select id from awa.batch where owner = %(worker)s order by id for update;

-- Lock a worker's lease before reading it. A statement of its own: the one behind
-- it gets a snapshot that shows what cancel or rescue did while this one waited.
-- It also has the next statements planned once and for all: left to itself, the
-- server plans each anew for the first five times, a settle for one to two
-- milliseconds, and may go on so.
-- Parameter: worker. Index: batch_leased (owner).
select set_config('plan_cache_mode', 'force_generic_plan', true) as plans,
       array(select id from awa.batch where owner = %(worker)s order by id for update) as ids;

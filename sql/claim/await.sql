-- Wait for a batch that another claimer holds, instead of calling the lane empty
-- while that claimer may yet take only its front. Parameter: batch id.
select 1 from awa.batch where id = %(batch)s for share;

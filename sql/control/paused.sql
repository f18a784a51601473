-- Which queues are paused, since when and by whom. Index: queue_paused.
select name, paused_at, paused_by from awa.queue where paused_at is not null order by name;

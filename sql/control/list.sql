-- Newest jobs of any state. Parameters: queue, kind (null: any), jobs_max.
select id from awa.body
where (%(queue)s::text is null or queue = %(queue)s) and (%(kind)s::text is null or kind = %(kind)s)
order by id desc limit %(jobs_max)s;

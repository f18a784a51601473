-- One job, wherever it is. Parameter: id.
select * from awa.jobs where id = %(id)s;

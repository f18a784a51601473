-- Whether a job is put aside. Parameter: id.
select 1 from awa.deferred where job_id = %(id)s;

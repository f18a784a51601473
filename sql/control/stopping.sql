-- Whether a cancelled job of a serial queue has not stopped yet. Parameter: id.
select 1 from awa.key_line where job_id = %(id)s and state = 4;

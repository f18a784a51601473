-- Which job holds a unique key. Parameter: key bytea.
select job_id from awa.unique_claim where key = %(key)s::bytea;

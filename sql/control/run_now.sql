-- Make a job that is put aside due at once; the next promotion brings it back. Parameter: id.
update awa.deferred set run_at = now() where job_id = %(id)s and run_at > now() returning job_id;

-- Move attempts of held jobs out of the default partition. Parameter: jobs_max. Returns how many.
select awa.clear_default(%(jobs_max)s);

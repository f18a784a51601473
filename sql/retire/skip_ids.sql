-- Use up ids, to make the sequence enter the next segment. setval would be
-- quicker and wrong: it could set the sequence back behind a producer.
-- Parameter: ids.
select count(nextval('awa.job_id')) from generate_series(1, %(ids)s);

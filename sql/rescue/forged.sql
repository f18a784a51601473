-- Whether a job that a worker shows as its running one has never been its own: it is
-- not in its lease, nor was it ended there (completed by its handler, cancelled, given
-- to others). A handler has overwritten the number.
-- Parameters: worker, job. Of a worker that has been signed out nothing is known.
-- Indexes: primary key of awa.worker, batch_leased, primary key of awa.attempt_log.
select exists (select from awa.worker where id = %(worker)s)
   and not exists (select from awa.batch where owner = %(worker)s and %(job)s = any (ids))
   and not exists (select from awa.every_attempt where job_id = %(job)s and worker = %(worker)s);

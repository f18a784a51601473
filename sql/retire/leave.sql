-- Have changes to the jobs of a segment noted from now on: it may be about to go.
-- Parameter: no.
select awa.leave_segment(%(id)s);

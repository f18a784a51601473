-- Have a segment looked at again at the next round: its locks were not to be had.
-- Parameter: no.
update awa.segment set checked_at = '-infinity' where id = %(id)s;

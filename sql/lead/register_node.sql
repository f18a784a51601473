-- A supervisor (or a process working inline) enters. Parameters: name, pid, version.
insert into awa.node (name, pid, version) values (%(name)s, %(pid)s, %(version)s) returning id;

-- A worker process is gone and its lease taken apart. Parameter: worker.
delete from awa.worker where id = %(worker)s;

-- Which database this is: a cluster's own number, and the database's in it.
select (select system_identifier from pg_control_system()) as cluster,
       (select oid::bigint from pg_database where datname = current_database()) as database;

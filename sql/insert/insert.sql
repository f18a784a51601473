-- Insert one job into the caller's transaction, and wake an idle node if there
-- is one: all of that is done by the function that other languages call, too.
--
-- Sent over the application's own connections, whatever its settings are: each name and
-- operator is qualified, since the search path is the application's, and the answer
-- depends on none of DateStyle, bytea_output and client_encoding.
--
-- Parameters, every one of them text or a number, since this goes through other
-- libraries, whose types we do not know: the job's columns; keys in hexadecimal;
-- opts (JSON, or null).
-- Returns times as microseconds since the epoch, for the same reason. existing: the
-- job that holds the unique key, as JSON in UTF-8, in hexadecimal; null when this one
-- was inserted.
-- args_bytes_max: the client has measured what it sends, by its own limit.
-- Called in a subselect: in FROM the server writes the function's row to a store first,
-- which took a tenth of the time.
select (j).id, (j).outcome, (j).state::pg_catalog.text as state,
       (extract(epoch from (j).created_at) operator(pg_catalog.*) 1000000)::bigint as created_us,
       (extract(epoch from (j).run_at) operator(pg_catalog.*) 1000000)::bigint as run_us,
       case when (j).outcome operator(pg_catalog.<>) 'inserted' then pg_catalog.encode(pg_catalog.convert_to((
         pg_catalog.to_jsonb(j) operator(pg_catalog.||) pg_catalog.jsonb_build_object(
           'unique_key', pg_catalog.encode((j).unique_key, 'hex'),
           'ordering_key', pg_catalog.encode((j).ordering_key, 'hex')))::pg_catalog.text, 'UTF8'), 'hex') end as existing,
       (j).max_attempts
from (select awa.insert_job(
  kind => %(kind)s::pg_catalog.text, args => %(args)s::pg_catalog.text::pg_catalog.jsonb,
  queue => %(queue)s::pg_catalog.text, priority => %(priority)s::integer,
  run_at => %(run_at)s::pg_catalog.text::pg_catalog.timestamptz, max_attempts => %(max_attempts)s::integer,
  tags => %(tags)s::pg_catalog.text::pg_catalog.text[], metadata => %(metadata)s::pg_catalog.text::pg_catalog.jsonb,
  unique_key => pg_catalog.decode(%(unique_key)s::pg_catalog.text, 'hex'),
  unique_states => %(unique_states)s::integer, ordering_key => pg_catalog.decode(%(ordering_key)s::pg_catalog.text, 'hex'),
  opts => %(opts)s::pg_catalog.text::pg_catalog.jsonb, args_bytes_max => 0) as j offset 0) as called;

-- Insert one job into the caller's transaction, and wake an idle node if there
-- is one: all of that is done by the function that other languages call, too.
--
-- Parameters, every one of them text or a number, since this goes through other
-- libraries, whose types we do not know: the job's columns; keys in hexadecimal;
-- opts (JSON, or null).
-- Returns times as microseconds since the epoch, for the same reason. existing: the
-- job that holds the unique key, as JSON; null when this one was inserted.
-- Called in a subselect: in FROM the server writes the function's row to a store first,
-- which took a tenth of the time.
select (j).id, (j).outcome, (j).state::text as state, (extract(epoch from (j).created_at) * 1000000)::bigint as created_us,
       (extract(epoch from (j).run_at) * 1000000)::bigint as run_us,
       case when (j).outcome <> 'inserted' then to_jsonb(j)::text end as existing
from (select awa.insert_job(
  kind => %(kind)s::text, args => %(args)s::text::jsonb, queue => %(queue)s::text, priority => %(priority)s::integer,
  run_at => %(run_at)s::text::timestamptz, max_attempts => %(max_attempts)s::integer, tags => %(tags)s::text::text[],
  metadata => %(metadata)s::text::jsonb, unique_key => decode(%(unique_key)s::text, 'hex'),
  unique_states => %(unique_states)s::integer, ordering_key => decode(%(ordering_key)s::text, 'hex'),
  opts => %(opts)s::text::jsonb) as j offset 0) called;

-- Does a database keep Awa's SQL contract, version 1? Run it as the schema's owner:
--
--   psql -v ON_ERROR_STOP=1 -f docs/reference/sql-contract.sql
--
-- It raises at the first difference, and leaves nothing behind: all it does is rolled
-- back. What it checks is what "SQL as a contract" promises, no more: columns and
-- options that are added later do not break it.

begin;

create function pg_temp.same(what text, actual text, promised text) returns void language plpgsql as $$
begin
  if actual is distinct from promised then
    raise exception 'the contract is broken: % is "%", and must be "%"', what, actual, promised;
  end if;
end $$;

-- What `statement` raises: SQLSTATE, a space, and the detail where one is asked for.
create function pg_temp.raises(statement text, with_detail boolean default false) returns text language plpgsql as $$
declare
  v_detail     text;
  v_constraint text;
begin
  execute statement;
  return 'nothing';
exception when others then
  get stacked diagnostics v_detail = pg_exception_detail, v_constraint = constraint_name;
  return sqlstate || case when with_detail then ' ' || v_constraint || ' ' || v_detail else '' end;
end $$;

-- ------------------------------------------------------------- signatures

select pg_temp.same('the version', awa.contract_version()::text, '1');

select pg_temp.same('what awa.insert_job takes', pg_get_function_arguments('awa.insert_job'::regproc),
  'kind text, args jsonb DEFAULT ''{}''::jsonb, queue text DEFAULT ''default''::text, priority integer DEFAULT 2, '
  'run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, max_attempts integer DEFAULT NULL::integer, '
  'tags text[] DEFAULT NULL::text[], metadata jsonb DEFAULT NULL::jsonb, unique_key bytea DEFAULT NULL::bytea, '
  'unique_states integer DEFAULT 159, ordering_key bytea DEFAULT NULL::bytea, opts jsonb DEFAULT ''{}''::jsonb, '
  'args_bytes_max integer DEFAULT 1000000');
select pg_temp.same('what awa.insert_job returns', pg_get_function_result('awa.insert_job'::regproc), 'awa.inserted_job');

-- Columns may be added at the end; these come first.
select pg_temp.same('the type awa.inserted_job', (
    select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum)
    from pg_attribute a where attrelid = 'awa.inserted_job'::regclass and attnum between 1 and 17 and not attisdropped),
  'id bigint, outcome text, kind text, queue text, state awa.job_state, priority smallint, attempt smallint, '
  'max_attempts smallint, timeout_ms integer, args jsonb, metadata jsonb, tags text[], '
  'run_at timestamp with time zone, created_at timestamp with time zone, expires_at timestamp with time zone, '
  'unique_key bytea, ordering_key bytea');

select pg_temp.same('what awa.insert_jobs takes', pg_get_function_arguments('awa.insert_jobs'::regproc),
  'jobs jsonb, args_bytes_max integer DEFAULT 1000000');
select pg_temp.same('what awa.insert_jobs returns', pg_get_function_result('awa.insert_jobs'::regproc),
  'TABLE(pos integer, id bigint, outcome text, created_at timestamp with time zone, run_at timestamp with time zone, '
  'holder bigint)');
select pg_temp.same('the first eight states', array_to_string((enum_range(null::awa.job_state))[1:8], ' '),
  'scheduled available running completed retryable failed cancelled waiting_external');

-- ------------------------------------------------------------- privileges

select pg_temp.same('the rights of everybody on ' || name, has_function_privilege('public', name::regproc, 'execute')::text, 'false')
from unnest(array['awa.contract_version', 'awa.insert_job', 'awa.insert_jobs']) as name;

select pg_temp.same(name || ' runs with the rights of the schema''s owner, and looks for names in', (
    select prosecdef || ' ' || array_to_string(proconfig, ' ') from pg_proc where oid = name::regproc),
  'true search_path=pg_catalog, pg_temp')
from unnest(array['awa.insert_job', 'awa.insert_jobs']) as name;

-- Where the roles have been made.
select pg_temp.same('what ' || rolname || ' may call', concat_ws(' ',
    has_function_privilege(rolname, 'awa.insert_job'::regproc, 'execute'),
    has_function_privilege(rolname, 'awa.insert_jobs'::regproc, 'execute'),
    has_function_privilege(rolname, 'awa.contract_version'::regproc, 'execute')),
  case when rolname = 'awa_reader' then 'f f f' else 't t t' end)
from pg_roles
where rolname in ('awa_producer', 'awa_reader', 'awa_worker', 'awa_admin') and has_schema_privilege(rolname, 'awa', 'usage');

select pg_temp.same('tables awa_producer may read', (
    select string_agg(relname, ' ' order by relname) from pg_class
    where relnamespace = 'awa'::regnamespace and relkind in ('r', 'p', 'v')
      and has_table_privilege('awa_producer', oid, 'select')), 'schema_version')
from pg_roles where rolname = 'awa_producer' and has_schema_privilege(rolname, 'awa', 'usage');

-- ---------------------------------------------------------------- inserts

select pg_temp.same('a job with nothing but a kind',
  concat_ws(' ', outcome, kind, queue, state, priority, attempt, max_attempts, coalesce(timeout_ms::text, 'null'), args,
            metadata, tags, run_at = created_at, coalesce(expires_at::text, 'null'), coalesce(unique_key::text, 'null'),
            coalesce(ordering_key::text, 'null')),
  'inserted contract default available 2 0 25 null {} {} {} t null null null')
from awa.insert_job('contract');

select pg_temp.same('a job with everything',
  concat_ws(' ', outcome, kind, queue, state, priority, attempt, max_attempts, timeout_ms, args, metadata, tags,
            run_at = '2100-01-01Z', expires_at = '2101-01-01Z', unique_key, ordering_key),
  'inserted contract other scheduled 1 0 3 1500 {"n": 1} {"by": "me"} {a,b} t t \x01 \x02')
from awa.insert_job(kind => 'contract', args => '{"n": 1}', queue => 'other', priority => 1, run_at => '2100-01-01Z',
                    max_attempts => 3, tags => '{a,b}', metadata => '{"by": "me"}', unique_key => '\x01',
                    unique_states => 159, ordering_key => '\x02',
                    opts => '{"timeout_ms": 1500, "expires_at": "2101-01-01Z"}');

select pg_temp.same('a job with a delay', concat_ws(' ', state, run_at > created_at + interval '59 s'), 'scheduled t')
from awa.insert_job('contract', opts => '{"delay_s": 60}');

select pg_temp.same('a job that wakes nobody', state::text, 'available')
from awa.insert_job('contract', opts => '{"wake": false}');

select pg_temp.same('null stands for the default', concat_ws(' ', queue, priority, max_attempts, args), 'default 2 25 {}')
from awa.insert_job('contract', null, null, null, null, null, null, null, null, null, null, null, null);

-- ------------------------------------------------------------ unique keys

create temporary table holder on commit drop as
select id from awa.insert_job('contract', unique_key => '\xc0', args => '{"n": 1}');

select pg_temp.same('the error when a unique key is taken',
  pg_temp.raises($$select awa.insert_job('contract', unique_key => '\xc0')$$, with_detail => true),
  '23505 unique_claim_pkey ' || (select id from holder));
select pg_temp.same('on_conflict skip', concat_ws(' ', id = (select id from holder), outcome, args), 't existing {"n": 1}')
from awa.insert_job('contract', unique_key => '\xc0', args => '{"n": 2}', opts => '{"on_conflict": "skip"}');
select pg_temp.same('on_conflict replace', concat_ws(' ', id = (select id from holder), outcome, args), 't replaced {"n": 3}')
from awa.insert_job('contract', unique_key => '\xc0', args => '{"n": 3}', opts => '{"on_conflict": "replace"}');

-- ----------------------------------------------------------------- errors

select pg_temp.same('the error of ' || call, pg_temp.raises('select awa.' || call), promised)
from (values
  ($$insert_job(null)$$, '22004'),
  ($$insert_job('')$$, '23514'),
  ($$insert_job(repeat('k', 201))$$, '23514'),
  ($$insert_job(repeat('k', 200))$$, 'nothing'),
  ($$insert_job(E'a\tb')$$, '23514'),
  ($$insert_job('k', queue => '')$$, '23514'),
  ($$insert_job('k', queue => repeat('q', 201))$$, '23514'),
  ($$insert_job('k', priority => 0)$$, '23514'),
  ($$insert_job('k', priority => 5)$$, '23514'),
  ($$insert_job('k', max_attempts => 0)$$, '23514'),
  ($$insert_job('k', max_attempts => 1001)$$, '23514'),
  ($$insert_job('k', tags => array_fill('t'::text, array[21]))$$, '23514'),
  ($$insert_job('k', tags => array_fill('t'::text, array[20]))$$, 'nothing'),
  ($$insert_job('k', unique_key => '')$$, '23514'),
  ($$insert_job('k', unique_key => decode(repeat('00', 65), 'hex'))$$, '23514'),
  ($$insert_job('k', ordering_key => '')$$, '23514'),
  ($$insert_job('k', ordering_key => decode(repeat('00', 1001), 'hex'))$$, '23514'),
  ($$insert_job('k', '[]')$$, '22023'),
  ($$insert_job('k', unique_states => 0)$$, '22023'),
  ($$insert_job('k', unique_states => 256)$$, '22023'),
  ($$insert_job('k', run_at => 'infinity')$$, '22023'),
  ($$insert_job('k', opts => '[]')$$, '22023'),
  ($$insert_job('k', opts => '{"colour": "red"}')$$, '22023'),
  ($$insert_job('k', opts => '{"timeout_ms": -1}')$$, '22023'),
  ($$insert_job('k', opts => '{"delay_s": -1}')$$, '22023'),
  ($$insert_job('k', opts => '{"delay_s": 1}', run_at => now())$$, '22023'),
  ($$insert_job('k', opts => '{"expires_at": "2000-01-01Z"}')$$, '22023'),
  ($$insert_job('k', opts => '{"expires_at": "2100-01-01Z"}', run_at => '2100-01-01Z')$$, '22023'),
  ($$insert_job('k', opts => '{"on_conflict": "panic"}')$$, '22023'),
  ($$insert_job('k', opts => '{"timeout_ms": "1500"}')$$, '22023'),
  ($$insert_job('k', opts => '{"wake": "no"}')$$, '22023'),
  ($$insert_job('k', opts => '{"timeout_ms": 1.5}')$$, '22023'),
  ($$insert_job('k', opts => '{"timeout_ms": 1e30}')$$, '22023'),
  ($$insert_job('k', opts => '{"delay_s": [1]}')$$, '22023'),
  ($$insert_job('k', opts => '{"delay_s": 3000000000, "expires_at": "2100-01-01Z"}')$$, '22023'),
  ($$insert_job('k', opts => '{"expires_at": 5}')$$, '22023'),
  ($$insert_job('k', opts => '{"expires_at": "soon"}')$$, '22023'),
  ($$insert_job('k', opts => '{"expires_at": "2100-13-01Z"}')$$, '22023'),
  ($$insert_job('k', opts => '{"on_conflict": 5}')$$, '22023'),
  ($$insert_job('k', tags => array['a', null])$$, '23514'),
  ($$insert_job('k', tags => array[array['a'], array['b']])$$, '23514'),
  ($$insert_job('k', run_at => '10000-01-01Z')$$, '22023'),
  ($$insert_job('k', run_at => '294276-12-31Z')$$, '22023'),
  ($$insert_job('k', run_at => '0001-12-31Z')$$, '22023'),
  ($$insert_job('k', run_at => '4713-01-01Z BC')$$, '22023'),
  ($$insert_job('k', opts => '{"expires_at": "275760-09-13Z"}')$$, '22023'),
  ($$insert_job('k', ('{"a":' || repeat('[', 63) || '1' || repeat(']', 63) || '}')::jsonb)$$, 'nothing'),
  ($$insert_job('k', ('{"a":' || repeat('[', 64) || '1' || repeat(']', 64) || '}')::jsonb)$$, '22023'),
  ($$insert_job('k', metadata => (repeat('[', 3000) || '1' || repeat(']', 3000))::jsonb)$$, '22023'),
  ($$insert_job('k', '{"a": [1e309]}')$$, '22023'),
  ($$insert_job('k', '{"a": [-1e308, 12345678901234567890]}')$$, 'nothing'),
  ($$insert_job('k', jsonb_build_object('a', repeat('x', 999990)))$$, 'nothing'),
  ($$insert_job('k', jsonb_build_object('a', repeat('x', 1000000)))$$, '22023'),
  ($$insert_job('k', jsonb_build_object('a', repeat('x', 1000000)), args_bytes_max => 2000000)$$, 'nothing'),
  ($$insert_job('k', jsonb_build_object('a', repeat('x', 3000000)), args_bytes_max => 0)$$, 'nothing'),
  ($$insert_job('k', args_bytes_max => -1)$$, '22023'),
  ($$insert_job('k', metadata => to_jsonb(repeat('x', 1000000)))$$, '22023'),
  ($$insert_job('k', tags => array[repeat('x', 1000000)])$$, '22023'),
  ($$insert_job('k', '{"a": [1e-16383]}')$$, '22023'),
  ($$insert_job('k', unique_key => '\xc1', unique_states => 4)$$, '22023'),
  ($$insert_job('k', unique_key => '\xc1', unique_states => 1)$$, '22023'),
  ($$insert_job('k', unique_key => '\xc1', unique_states => 2, run_at => now() + interval '1 hour')$$, '22023'),
  ($$insert_job('k', unique_key => '\xc9', unique_states => 2, run_at => now())$$, 'nothing'),
  ($$insert_job('k', unique_key => '\xca', unique_states => 1, run_at => now())$$, 'nothing'),
  ($$insert_job('k', unique_key => '\xcb', unique_states => 1, run_at => now() - interval '1 hour')$$, '22023'),
  ($$insert_job('k', unique_key => '\xc7', unique_states => 1, opts => '{"delay_s": 60}')$$, 'nothing'),
  ($$insert_jobs('{}')$$, '22023'),
  ($$insert_jobs('[{"kind": "k", "colour": "red"}]')$$, '22023'),
  ($$insert_jobs('[{"args": {}}]')$$, '22004'),
  ($$insert_jobs('[{"kind": ""}]')$$, '23514'),
  ($$insert_jobs('[{"kind": "k", "priority": "1"}]')$$, '22023'),
  ($$insert_jobs('[{"kind": "k", "priority": 1.5}]')$$, '22023'),
  ($$insert_jobs('[{"kind": "k", "priority": 1e30}]')$$, '22023'),
  ($$insert_jobs('[{"kind": "k", "run_at": "soon"}]')$$, '22023'),
  ($$insert_jobs('[{"kind": "k", "tags": "t"}]')$$, '22023'),
  ($$insert_jobs('[{"kind": "k", "tags": ["t", null]}]')$$, '23514'),
  ($$insert_jobs('[{"kind": "k", "unique_key": "xy"}]')$$, '22023'),
  ($$insert_jobs('[{"kind": "k", "required": 1}]')$$, '22023'),
  ($$insert_jobs('[{"kind": "k", "run_at": "275760-09-13Z"}]')$$, '22023'),
  ($$insert_jobs('[{"kind": "k", "metadata": {"a": 1e400}}]')$$, '22023'),
  ($$insert_jobs(jsonb_build_array(jsonb_build_object('kind', 'k', 'metadata', repeat('x', 1000000))))$$, '22023'),
  ($$insert_jobs(jsonb_build_array(jsonb_build_object('kind', 'k', 'metadata', repeat('x', 1000000))), 2000000)$$, 'nothing')
) as calls (call, promised);

-- -------------------------------------------------------------- insert_jobs

select pg_temp.same('many jobs: one row each, in their order, without an id where the key is taken', (
    select string_agg(concat(pos, ' ', id is not null), ', ' order by pos)
    from awa.insert_jobs('[{"kind": "k", "args": {"n": 1}}, {"kind": "k", "unique_key": "c1"},
                           {"kind": "k", "unique_key": "c1"}, {"kind": "k", "unique_key": "c0"}]')),
  '0 t, 1 t, 2 f, 3 f');
select pg_temp.same('many jobs: none where a required one is left out', (
    select string_agg(concat(pos, ' ', id is not null, ' ', outcome, ' ', holder is not null), ', ' order by pos)
    from awa.insert_jobs('[{"kind": "k"}, {"kind": "k", "unique_key": "c8"},
                           {"kind": "k", "unique_key": "c0", "required": true}]')),
  '0 f none f, 1 f none f, 2 f existing t');
select pg_temp.same('many jobs: the keys of those not inserted are free', (
    select outcome from awa.insert_job('contract', unique_key => '\xc8')), 'inserted');
select pg_temp.same('no jobs', (select count(*)::text from awa.insert_jobs('[]')), '0');

rollback;

\echo the contract is kept

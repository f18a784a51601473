"""A schema that stands in front of pg_catalog and has all that is in there: functions, operators, relations and types.

Whatever a statement looks for by the search path, it finds here, and fails. A role that may create in a schema of the
application's path needs less: a function whose arguments fit better than those of the one in pg_catalog, which takes an
`anyarray`, or an operator for two types that only a cast makes one.
"""

from __future__ import annotations

from typing import Final

import psycopg

from tests.fixtures.postgres import for_database

PATH: Final = "shadows, public, pg_catalog"
TAKE_PATH: Final = f"select pg_catalog.set_config('search_path', '{PATH}', false)".encode()
TAKE_PATH_ONCE: Final = TAKE_PATH.replace(b"false", b"true")
"""For this transaction: a pool of asyncpg calls functions by their names alone when it takes a connection back."""

# In the language internal a function may take what no other language can. This one raises unless it is a trigger.
_SHADOWS: Final = r"""
set search_path = pg_catalog;
create schema shadows;
grant usage on schema shadows to public;
do $$
declare
  c_body constant text := 'suppress_redundant_updates_trigger';
  v      record;
  v_name text;
begin
  for v in select proname as name, replace(pg_get_function_identity_arguments(oid), ' ORDER BY ', ', ') as args,
                  case when proretset then 'setof ' else '' end || format_type(prorettype, null) as result
           from pg_proc where pronamespace = 'pg_catalog'::regnamespace and proname !~ '_(in|recv|gist_union)$' loop
    begin
      execute format('create function shadows.%I(%s) returns %s language internal as %L',
                     v.name, v.args, v.result, c_body);
    exception when syntax_error or invalid_function_definition then
      null;  -- aggregates of ordered sets
    end;
  end loop;
  for v in select oid, oprname as name, nullif(oprleft, 0)::regtype as l, oprright::regtype as r,
                  oprresult::regtype as result
           from pg_operator where oprnamespace = 'pg_catalog'::regnamespace loop
    v_name := 'op_' || v.oid;
    execute format('create function shadows.%I(%s) returns %s language internal as %L',
                   v_name, concat_ws(', ', v.l, v.r), v.result, c_body);
    execute format('create operator shadows.%s (%s rightarg = %s, function = shadows.%I)',
                   v.name, 'leftarg = ' || v.l || ',', v.r, v_name);
  end loop;
  for v in select relname as name from pg_class
           where relnamespace = 'pg_catalog'::regnamespace and relkind in ('r', 'v') loop
    execute format('create table shadows.%I ()', v.name);
  end loop;
  for v in select typname as name from pg_type
           where typnamespace = 'pg_catalog'::regnamespace and typtype in ('b', 'r', 'm') and typelem = 0
             and typname !~ '^_' loop
    execute format('create domain shadows.%I as pg_catalog.%I check (shadows.pg_backend_pid() is null)',
                   v.name, v.name);
  end loop;
end $$;
"""


def cast_shadows(database: str, superuser_dsn: str) -> None:
    """Make the schema. It does no harm to sessions that do not have it in their search path."""
    with psycopg.connect(database) as owner:
        name = owner.info.dbname
    with psycopg.connect(for_database(superuser_dsn, name, "postgres"), autocommit=True) as admin:
        admin.execute(_SHADOWS.encode())

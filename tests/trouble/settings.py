"""Settings that roles, databases and environments may have, and what others put in the application's path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Literal

from tests.fixtures.postgres import for_database

NAME: Final = "Zoë Größer €"
"""Not to be written in LATIN1."""
HOSTILE: Final = {
    "client_encoding": "LATIN1",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Pacific/Chatham",
    "search_path": "evil, public, pg_catalog",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "standard_conforming_strings": "off",
    "bytea_output": "escape",
    "extra_float_digits": "-10",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "row_security": "off",
    "lock_timeout": "1ms",
    "enable_indexscan": "off",
}
"""What an administrator may set for a role or a database, and a user in the environment."""

VARIABLES: Final = {"PGCLIENTENCODING": "client_encoding", "PGTZ": "TimeZone", "PGDATESTYLE": "DateStyle"}

EVIL: Final = """
create schema evil;
create function evil.raised() returns text language plpgsql as $$
begin raise exception 'a function of another role was called by %%: %%', session_user, current_query(); end $$;
create function evil.cardinality(bigint[]) returns integer language sql as 'select length(evil.raised())';
create function evil.now() returns timestamptz language sql as 'select evil.raised()::timestamptz';
create function evil.clock_timestamp() returns timestamptz language sql as 'select evil.raised()::timestamptz';
create function evil.decode(text, text) returns bytea language sql as 'select evil.raised()::bytea';
create function evil.to_jsonb(awa.inserted_job) returns jsonb language sql as 'select evil.raised()::jsonb';
create function evil.current_setting(text) returns text language sql as 'select evil.raised()';
create function evil.current_setting(text, boolean) returns text language sql as 'select evil.raised()';
create function evil.pg_backend_pid() returns integer language sql as 'select length(evil.raised())';
create function evil.set_config(text, text, boolean) returns text language sql as 'select evil.raised()';
create function evil.to_regclass(text) returns regclass language sql as 'select evil.raised()::regclass';
create function evil.pg_notify(text, text) returns void language plpgsql as $$ begin perform evil.raised(); end $$;
create function evil.has_table_privilege(text, text) returns boolean language sql as 'select evil.raised()::boolean';
create function evil.unnest(bigint[]) returns setof bigint language sql as 'select evil.raised()::bigint';
create function evil.make_interval(secs integer) returns interval language sql as 'select evil.raised()::interval';
create function evil.pg_current_xact_id() returns xid8 language sql as 'select evil.raised()::xid8';
create function evil.either(bigint, bigint) returns boolean language sql as 'select evil.raised()::boolean';
create operator evil.= (leftarg = bigint, rightarg = bigint, function = evil.either);
create function evil.times(numeric, integer) returns numeric language sql as 'select evil.raised()::numeric';
create operator evil.* (leftarg = numeric, rightarg = integer, function = evil.times);
create function evil.differ(text, text) returns boolean language sql as 'select evil.raised()::boolean';
create operator evil.<> (leftarg = text, rightarg = text, function = evil.differ);
create domain evil.text as pg_catalog.text check (evil.raised() is null);
create domain evil.jsonb as pg_catalog.jsonb check (evil.raised() is null);
"""

Apply = Callable[[str, dict[str, str]], None]


def applying(database: str, superuser_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Apply:
    """Return what gives a role, a database or the environment some settings, for connections that are opened later."""
    with psycopg.connect(database) as owner:
        name, role = owner.info.dbname, owner.info.user

    def change(where: str, settings: dict[str, str]) -> None:
        with psycopg.connect(for_database(superuser_dsn, name, "postgres"), autocommit=True) as admin:
            admin.execute(EVIL.replace("%%", "%").encode())
            admin.execute(SQL("grant usage on schema evil to {}").format(Identifier(role)))
            target = SQL("alter role {} in database {}" if where == "role" else "alter database {1}")
            for setting, text in settings.items() if where != "environment" else ():
                values = SQL(", ").join(map(Literal, text.split(", ")))
                alter = target.format(Identifier(role), Identifier(name))
                admin.execute(alter + SQL(" set {} = {}").format(Identifier(setting), values))
        if where == "environment":
            options = [f"-c {key}={text.replace(' ', '')}" for key, text in settings.items()]
            monkeypatch.setenv("PGOPTIONS", " ".join(options))
            for variable, key in VARIABLES.items():
                if key in settings:
                    monkeypatch.setenv(variable, settings[key].replace(" ", ""))

    return change

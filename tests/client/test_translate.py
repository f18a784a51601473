"""Which of the server's errors mean that the schema is missing, and which only mention something of it."""

from typing import Any

import psycopg
import pytest

from awa import Client, DatabaseError, SchemaNotMigrated
from awa.database.errors import translate

MISSING = ["select from awa.job_log", "select awa.seal(1)", "create table awa.t ()"]
OTHERS = [
    "select nothing_of(null::awa.job_state)",
    "select 'failed'::awa.job_state = 1",
    'select from "my-awa.t"',
    "select from nothing where 'awa.x' = ''",
    "create table nothing.awa ()",
]


def error_of(connection: psycopg.Connection[Any], sql: str) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(sql.encode())
    return caught.value


def test_a_missing_schema_is_told_from_what_the_server_says_is_missing(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        for sql in MISSING:
            assert isinstance(translate(error_of(connection, sql), "try"), SchemaNotMigrated), sql


def test_an_error_that_only_mentions_the_schema_is_another(client: Client, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for sql in OTHERS:
            assert type(translate(error_of(connection, sql), "try")) is DatabaseError, sql


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.UndefinedTable("Relation »awa.job_log« existiert nicht"),
        psycopg.errors.UndefinedFunction("la fonction awa.seal(integer) n'existe pas"),
        psycopg.errors.InvalidSchemaName('schema "awa" does not exist'),
    ],
)
def test_it_is_told_in_other_languages_too(error: psycopg.Error) -> None:
    assert isinstance(translate(error, "try"), SchemaNotMigrated)

"""`awa.insert_job_compat`: a job by the name and the parameters that it has in the other Awa."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from awa.job.unique import unique_key

pytestmark = pytest.mark.postgres


def insert(connection: psycopg.Connection[Any], parameters: str, *values: Any) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(f"select * from awa.insert_job_compat({parameters})", values).fetchone()
    assert row is not None
    return row


def test_what_is_left_out_has_its_default(connection: psycopg.Connection[Any]) -> None:
    row = insert(connection, "'greet'")
    assert (row["kind"], row["queue"], row["args"], row["state"]) == ("greet", "default", {}, "available")
    assert (row["priority"], row["max_attempts"], row["metadata"], row["tags"]) == (2, 25, {}, [])
    assert insert(connection, "'greet', null, null, 'available', null, null, null, null, null")["queue"] == "default"


def test_it_returns_the_row_of_the_job(connection: psycopg.Connection[Any]) -> None:
    row = insert(
        connection,
        "'greet', 'q', '{\"n\": 1}', 'scheduled', 4::smallint, 3::smallint, now() + interval '1 hour', '{\"m\": 1}', "
        "'{a}', p_ordering_key => 'line'",
    )
    assert (row["queue"], row["args"], row["state"], row["priority"]) == ("q", {"n": 1}, "scheduled", 4)
    assert (row["max_attempts"], row["metadata"], row["tags"]) == (3, {"m": 1}, ["a"])
    assert bytes(row["ordering_key"]) == b"line"
    with connection.cursor(row_factory=dict_row) as cursor:
        assert cursor.execute("select * from awa.jobs where id = %s", [row["id"]]).fetchone() == row


def test_the_states_of_a_unique_key_begin_with_the_first(connection: psycopg.Connection[Any]) -> None:
    key = unique_key("greet", {})
    parameters = "'greet', p_unique_key => %s, p_unique_states => '11111000'"
    first = insert(connection, parameters, key)
    found = connection.execute("select states from awa.unique_claim where job_id = %s", [first["id"]]).fetchone()
    assert found == (0b00011111,)
    with pytest.raises(psycopg.errors.UniqueViolation), connection.transaction():
        insert(connection, parameters, key)
    other = insert(connection, "'greet', p_unique_key => %s", unique_key("greet", {"n": 1}))
    found = connection.execute("select states from awa.unique_claim where job_id = %s", [other["id"]]).fetchone()
    assert found == (0b10011111,)


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ("'greet', p_state => 'running'", psycopg.errors.InvalidParameterValue),
        ("'greet', p_state => null", psycopg.errors.InvalidParameterValue),
        ("'greet', p_priority => 5::smallint", psycopg.errors.CheckViolation),
        ("''", psycopg.errors.CheckViolation),
    ],
)
def test_refusals(connection: psycopg.Connection[Any], parameters: str, error: type[Exception]) -> None:
    with pytest.raises(error), connection.transaction():
        insert(connection, parameters)

"""Whatever JSON goes in comes out in the handler, however it was inserted; what is none is refused, unsent."""

from __future__ import annotations

from typing import Any

import psycopg
import psycopg2
import psycopg_pool
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awa import Client, DatabaseError, ValidationError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer())
"""Whole ones come back as integers, as jsonb stores them."""
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | FLOATS | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=15
)
ARGS = st.dictionaries(TEXT, JSON, max_size=5)
WAYS = ("insert", "insert_many", "transaction", "psycopg2")


@pytest.mark.parametrize("way", WAYS)
def test_arguments_and_metadata_come_out_as_they_went_in(client: Client, database: str, way: str) -> None:
    seen: list[Any] = []
    client.task(kind="echo")(lambda job: seen.append((job.args, job.metadata)) or job.args)
    theirs = psycopg2.connect(database)

    def put(args: dict[str, Any], metadata: dict[str, Any]) -> int:
        options: dict[str, Any] = {"kind": "echo", "metadata": metadata}
        if way == "insert_many":
            return client.insert_many([args], **options).ids[0]
        if way == "transaction":
            with client.transaction() as tx:
                return tx.insert(args, **options).id
        if way == "psycopg2":
            with theirs:
                return client.insert(args, connection=theirs, **options).id
        return client.insert(args, **options).id

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(args=ARGS, metadata=ARGS)
    def check(args: dict[str, Any], metadata: dict[str, Any]) -> None:
        seen.clear()
        job = put(args, metadata)
        assert client.work() == 1
        assert seen == [(args, metadata)]
        assert client.get_job(job).result == args

    check()
    theirs.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"a": float("nan")}, r"args\.a is nan"),
        ({"a": "\0"}, r"args\.a contains NUL"),
        ({"a": "\ud800"}, r"args\.a contains the lone surrogate"),
        ({"a": object()}, r"args\.a is of type object"),
        ({1: 2}, r"args has the key 1"),
        ({"a": {1, 2}}, r"args\.a is a set"),
        ({"a": b"x"}, r"args\.a is bytes"),
        ({"a": 2**64}, r"args\.a is 18446744073709551616, beyond 64 bits"),
        ([1], "args of type list are not a JSON object"),
        ({"a": "x" * 1_000_001}, "args takes 1,000,009 bytes as JSON, more than the limit of 1,000,000"),
    ],
    ids="nan nul surrogate object key set bytes bits list large".split(),
)
def test_what_is_no_json_is_refused_and_nothing_is_written(
    client: Client, database: str, way: str, args: Any, says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        put_somehow(client, database, way, args)
    assert client.list_jobs() == []


def put_somehow(client: Client, database: str, way: str, args: Any) -> None:
    if way == "insert_many":
        client.insert_many([args], kind="x")
    elif way == "transaction":
        with client.transaction() as tx:
            tx.insert(args, kind="x")
    elif way == "psycopg2":
        with psycopg2.connect(database) as theirs:
            client.insert(args, kind="x", connection=theirs)
    else:
        client.insert(args, kind="x")


def test_nesting_is_limited(client: Client) -> None:
    deep: Any = 1
    for _ in range(64):
        deep = [deep]
    with pytest.raises(ValidationError, match="is nested deeper than 64 levels"):
        client.insert({"a": deep}, kind="x")


@pytest.mark.parametrize(
    "run_at", ["2090-01-01T00:00:00 Mars/Olympus", "2090-01-01T00:00:00[Europe/Nowhere]", "next week"]
)
def test_a_time_zone_that_is_not_known_is_refused(client: Client, run_at: str) -> None:
    with pytest.raises(ValidationError, match="is no point in time"):
        client.insert({}, kind="x", run_at=run_at)


def test_a_closed_pool_is_said(database: str) -> None:
    pool = psycopg_pool.ConnectionPool(database, open=False)
    pool.open()
    pool.close()
    with pytest.raises(DatabaseError, match="could not insert a job: .*closed"):
        Client(pool).insert({}, kind="x")


def test_a_connection_whose_server_is_gone_is_said(client: Client, database: str) -> None:
    with psycopg.connect(database) as killer, psycopg.connect(database) as theirs:
        killer.execute("select pg_terminate_backend(%s, 5000)", [theirs.info.backend_pid])
        with pytest.raises(DatabaseError, match="could not insert a job"):
            client.insert({}, kind="x", connection=theirs)

"""What a job takes is limited for who calls the functions as it is for clients, with the same sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from awa.client.client import Client
from awa.errors import ValidationError

Connection = psycopg.Connection[Any]
REFUSED = psycopg.errors.InvalidParameterValue


def test_the_sentence_is_the_clients(database: str, connection: Connection) -> None:
    args = {"text": "é" * 500_000}
    with Client(database) as client, pytest.raises(ValidationError) as theirs:
        client.insert(args, kind="k")
    with pytest.raises(REFUSED) as ours:
        connection.execute("select awa.insert_job('k', %s)", [json.dumps(args)])
    by_client, by_function = str(theirs.value), str(ours.value).splitlines()[0]
    assert by_client.startswith("args takes 1,000,011 bytes as JSON, more than the limit of 1,000,000; keep the data")
    assert by_function == by_client.replace("1,000,011", "1,000,012")  # PostgreSQL writes a space behind the colon


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"metadata": "x" * 1_000_000}, "metadata takes 1,000,002 bytes as JSON, more than the limit of 1,000,000"),
        ({"tags": ["x" * 999_999, "y"]}, "tags takes 1,000,003 bytes, more than the limit of 1,000,000"),
        ({"args": {"n": [0] * 400_000}}, "args takes 1,200,007 bytes as JSON"),
    ],
)
def test_all_that_a_job_takes_is_limited(connection: Connection, job: dict[str, Any], said: str) -> None:
    text = json.dumps([{"kind": "k"}, {"kind": "k", **job}])
    with pytest.raises(REFUSED, match=said):
        connection.execute("select awa.insert_jobs(%s)", [text])
    assert connection.execute("select count(*) from awa.job_log").fetchone() == (0,)
    assert connection.execute(
        "select count(*) from awa.insert_jobs(%s, args_bytes_max => 2000000)", [text]
    ).fetchone() == (2,)


@pytest.mark.parametrize("document", ['{"n": 1e-16383}', '{"n": [1, 1.' + "0" * 9_000 + "]}"])
def test_a_few_bytes_of_jsonb_are_no_long_text(connection: Connection, document: str) -> None:
    for named in ("args", "metadata"):
        with pytest.raises(REFUSED, match="numbers of thousands of digits; pass such numbers as text"):
            connection.execute(f"select awa.insert_job('k', {named} => %s)".encode(), [document])
        assert connection.execute(
            f"select awa.insert_job('k', {named} => %s, args_bytes_max => 0)".encode(), [document]
        )


def test_what_is_stored_compressed_is_measured_as_it_is_read(connection: Connection) -> None:
    connection.execute(
        "create temporary table source as select jsonb_build_object('text', repeat('x', 2000000)) as args"
    )
    row = connection.execute("select pg_column_size(args) from source").fetchone()
    assert row is not None
    assert row[0] < 100_000
    with pytest.raises(REFUSED, match="args takes 2,000,012 bytes"):
        connection.execute("select awa.insert_job('k', args) from source")
    connection.execute("select awa.insert_job('k', args, args_bytes_max => 3000000) from source")
    connection.execute("update source set args = jsonb_build_object('text', repeat('x', 900000))")
    connection.execute("select awa.insert_job('k', args) from source")


def test_a_client_with_another_limit_has_that_one_however_it_inserts(
    database: str, connection: Connection, login: Callable[[str], str]
) -> None:
    args = {"text": "x" * 1_500_000}
    for dsn in (database, login("awa_producer")):
        with Client(dsn, payload_bytes_max=3_000_000) as client:
            client.insert(args, kind="k")
            client.insert_many([args, args], kind="k")
            with pytest.raises(ValidationError, match="limit of 3,000,000"):
                client.insert({"text": "x" * 3_000_000}, kind="k")
    with Client(database, payload_bytes_max=3_000_000) as client:
        client.insert(args, kind="k", connection=connection)
        client.insert_many([args], kind="k", connection=connection)
    sizes = connection.execute("select octet_length(args::text) from awa.job_log").fetchall()
    assert sizes == [(1_500_012,)] * 8

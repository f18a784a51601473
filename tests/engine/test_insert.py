"""Insert: one job, and many by COPY; what arrives is what was given."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from awa.engine import nodes
from awa.engine.insert.bulk import CHUNK_JOBS, insert_many, insert_many_by
from awa.engine.insert.single import Envelope, NewJob, Unique, insert
from tests.engine.helpers import Connection, add, new
from tests.fixtures.postgres import both_servers

AWKWARD = [
    "plain",
    "back\\slash",
    "trailing\\",
    "tab\there",
    "line\nbreak\r\nand another",
    'double "quotes"',
    "single 'quotes'",
    "braces {a,b} and , commas",
    r"\N",
    r"\.",
    "NULL",
    "null",
    " spaces around ",
    "Māori ☂ 𝄞",
    "%s %(name)s %%",
    "\b\f\v\x7f",
    "\x85\u2028\u2029",
]


def stored(connection: Connection, job: int) -> dict[str, Any]:
    cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
    row = cursor.execute("select * from awa.job_log where id = %s", [job]).fetchone()
    assert row is not None
    return row


def put(connection: Connection, how: str, job: NewJob) -> int:
    """Insert one job by one of the two ways."""
    if how == "one":
        return insert(connection, job).id
    with connection.transaction():
        (job_id,) = insert_many(connection, [job]).ids
    return job_id


@both_servers
@pytest.mark.parametrize("how", ["one", "copy"])
def test_every_column_arrives(db: Connection, how: str) -> None:
    run_at = datetime(2031, 5, 6, 7, 8, 9, 123456, timezone(timedelta(hours=12)))
    envelope = Envelope("mail", "send", 1, 7, run_at, b'{"b":true}', ["x", "y"])
    row = stored(db, put(db, how, NewJob(b'{"a":[1,null]}', envelope)))
    assert (row["queue"], row["kind"], row["priority"], row["max_attempts"]) == ("mail", "send", 1, 7)
    assert row["run_at"] == run_at
    assert json.loads(row["args"]) == {"a": [1, None]}
    assert json.loads(row["metadata"]) == {"b": True}
    assert row["tags"] == ["x", "y"]


@pytest.mark.parametrize("how", ["one", "copy"])
def test_what_is_left_out_is_null(db: Connection, how: str) -> None:
    row = stored(db, put(db, how, new()))
    assert (row["run_at"], row["metadata"], row["tags"]) == (None, None, None)


@pytest.mark.parametrize("how", ["one", "copy"])
@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text_survives_in_every_column(db: Connection, how: str, text: str) -> None:
    raw = json.dumps({text: [text, {"deep": text}]}).encode()
    as_is = json.dumps({text: text}, ensure_ascii=False).encode()
    name = "".join(char for char in text if char.isprintable()) or "x"  # a name with others in it is refused
    row = stored(db, put(db, how, new(queue=name, kind=name, args=raw, metadata=as_is, tags=[text, "", text])))
    assert (row["queue"], row["kind"]) == (name, name)
    assert json.loads(row["args"]) == {text: [text, {"deep": text}]}
    assert json.loads(row["metadata"]) == {text: text}
    assert row["tags"] == [text, "", text]


@pytest.mark.parametrize("how", ["one", "copy"])
def test_json_with_whitespace_between_its_tokens_is_json(db: Connection, how: str) -> None:
    raw = b'{\r\n\t"a" :\t1\n}'
    row = stored(db, put(db, how, new(args=raw, metadata=raw)))
    assert (json.loads(row["args"]), json.loads(row["metadata"])) == ({"a": 1}, {"a": 1})


@pytest.mark.parametrize("how", ["one", "copy"])
def test_text_survives_a_connection_with_another_encoding(db: Connection, how: str) -> None:
    db.execute("set client_encoding to latin1")
    job = put(db, how, new(queue="crème", args='{"é":"ß"}'.encode(), tags=["ü"]))
    db.execute("set client_encoding to utf8")
    row = stored(db, job)
    assert (row["queue"], json.loads(row["args"]), row["tags"]) == ("crème", {"é": "ß"}, ["ü"])


def test_a_thousand_jobs_that_differ_in_one_field_each_stay_apart(db: Connection) -> None:
    """The COPY lines share what is written of an envelope."""
    kinds = [
        new(),
        new(queue="a"),
        new(kind="a"),
        new(priority=1),
        new(max_attempts=1),
        new(timeout_ms=0),
        new(timeout_ms=1),
        new(metadata=b'{"a":1}'),
        new(tags=["a"]),
        new(tags=["a", "b"]),
        new(tags=["a,b"]),
        new(run_at=datetime(2030, 1, 1, tzinfo=timezone.utc)),
    ]
    with db.transaction():
        ids = insert_many(db, kinds * 100).ids
    for job, given in zip(ids[: len(kinds)] + ids[-len(kinds) :], kinds * 2, strict=True):
        row = stored(db, job)
        said = given.envelope
        assert row["metadata"] is None or json.loads(row["metadata"]) == json.loads(said.metadata or b"0")
        for column in ("queue", "kind", "priority", "max_attempts", "timeout_ms", "run_at", "tags"):
            assert row[column] == getattr(said, column), column


def test_ids_come_back_in_the_order_of_the_jobs(db: Connection) -> None:
    with db.transaction():
        ids = insert_many(db, (new(args=b'{"n":%d}' % n) for n in range(2_500))).ids
    assert len(set(ids)) == 2_500
    rows = db.execute("select id, (args->>'n')::int from awa.job_log order by 2").fetchall()
    assert [job for job, _ in rows] == ids


def test_many_jobs_go_in_chunks_but_commit_as_one(db: Connection) -> None:
    class Stop(Exception):
        pass

    def jobs_then_trouble() -> Any:
        for _ in range(CHUNK_JOBS + 1):
            yield new()
        raise Stop

    with pytest.raises(Stop), db.transaction():
        insert_many(db, jobs_then_trouble())
    assert db.execute("select count(*) from awa.job_log").fetchone() == (0,)


def test_chunks_of_jobs_with_keys_may_be_many_times_as_long(db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awa.engine.insert.bulk.CHUNK_JOBS", 10)
    monkeypatch.setattr("awa.engine.insert.bulk.FIRST_JOBS", 10)
    monkeypatch.setattr("awa.engine.insert.bulk.KEYED_JOBS", 100)
    jobs = [new(args=b'{"n":%d}' % n, unique=Unique(b"key %d" % n, 0b1111)) for n in range(250)]
    with db.transaction():
        ids = insert_many(db, jobs, ahead=True).ids
    rows = db.execute("select id, (args->>'n')::int from awa.job_log order by 2").fetchall()
    assert rows == [(job, n) for n, job in enumerate(ids)]


def test_inserting_no_jobs_is_no_error(db: Connection) -> None:
    with db.transaction():
        assert insert_many(db, []).ids == []


def test_insert_tells_what_the_server_added(db: Connection) -> None:
    early = datetime.now(timezone.utc)
    now, later, past = (insert(db, new(run_at=at)) for at in (None, early + timedelta(hours=1), early))
    assert abs(now.created_us / 1e6 - early.timestamp()) < 60
    assert [each.state for each in (now, later, past)] == ["available", "scheduled", "available"]
    assert later.run_us == round((early + timedelta(hours=1)).timestamp() * 1e6)
    assert now.run_us == now.created_us


def test_created_at_is_the_statements_time_not_the_transactions(db: Connection) -> None:
    with db.transaction():
        db.execute("select now()")
        first = insert(db, new())
        second = insert(db, new())
    assert first.created_us < second.created_us


@pytest.mark.parametrize(
    "fields",
    [
        {"timeout_ms": -1},
        {"priority": 0},
        {"priority": 5},
        {"max_attempts": 0},
        {"queue": ""},
        {"kind": "x" * 201},
        {"tags": ["t"] * 21},
        {"unique": Unique(b"k" * 65, 159)},
        {"unique": Unique(b"k", 4)},
        {"ordering_key": b"k" * 1001},
    ],
)
def test_the_functions_refuse_what_validation_let_through(db: Connection, fields: dict[str, Any]) -> None:
    def execute(sql: bytes, parameters: Mapping[str, Any]) -> list[Any]:
        return db.execute(sql, parameters).fetchall()

    refused = (psycopg.errors.CheckViolation, psycopg.errors.InvalidParameterValue)
    with pytest.raises(refused):
        insert(db, new(**fields))
    with pytest.raises(refused):
        insert_many_by(execute, [new(), new(**fields)])
    assert db.execute("select count(*) from awa.job_log").fetchone() == (0,)


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_wake_up_is_sent_only_while_a_node_is_idle(db: Connection, connect: Any, jobs: int) -> None:
    listener = connect()
    listener.execute('listen "awa:wake"')
    node = nodes.register_node(db, "n")
    add(db, jobs)
    assert list(listener.notifies(timeout=0)) == []
    nodes.idle(db, node)
    add(db, jobs)
    assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1
    nodes.busy(db, node)
    add(db, jobs)
    listener.execute("select 1")
    assert list(listener.notifies(timeout=0)) == []


def test_ids_beyond_the_last_segment_are_accepted(db: Connection) -> None:
    db.execute("select setval('awa.job_id', (select max(end_id) + 10 from awa.segment))")
    job = add(db)[0]
    assert db.execute("select id from awa.job_log_default").fetchall() == [(job,)]

"""Insert: what the returned job says, what is stored, and what is refused before anything is sent."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from awa import Client, InsertedMany, Job, JobState, ValidationError
from awa.engine.insert.bulk import FIRST_JOBS
from tests.client.kinds import SendEmail

UTC = timezone.utc
How = Callable[..., Any]


@dataclass
class Plain:
    n: int


@dataclass
class Unregistered:
    n: int = 0


@pytest.fixture(params=["insert", "insert_many", "insert_many_copy", "enqueue_many_copy", "transaction", "bulk in tx"])
def put(request: pytest.FixtureRequest, client: Client) -> How:
    """Every way to insert one job, with the same options; returns the job as `get_job` sees it."""

    def newest() -> Job:
        return client.list_jobs(limit=1)[0]

    def by(args: Any, **options: Any) -> Job:
        match request.param:
            case "insert":
                return client.get_job(client.insert(args, **options).id)
            case "insert_many":
                return client.get_job(client.insert_many([args], **options).ids[0])
            case "insert_many_copy":
                return client.get_job(client.insert_many_copy([args], **options)[0].id)
            case "enqueue_many_copy":
                assert client.enqueue_many_copy([args], **options) == 1
                return newest()
            case "transaction":
                with client.transaction() as tx:
                    job = tx.insert(args, **options)
                return client.get_job(job.id)
            case _:
                with client.transaction() as tx:
                    ids = tx.insert_many([args], **options).ids
                return client.get_job(ids[0])

    return by


def count(client: Client) -> int:
    with client.transaction() as tx:
        return int(tx.fetch_one("select count(*) as n from awa.job_log")["n"])


def test_the_defaults(put: How) -> None:
    job = put(SendEmail("hine@example.org"))
    assert (job.kind, job.queue, job.state, job.priority) == ("send_email", "default", JobState.Available, 2)
    assert (job.attempt, job.max_attempts, job.tags, job.metadata, job.errors) == (0, 25, [], {}, [])
    assert job.args == {"to": "hine@example.org", "subject": "Kia ora"}
    assert abs(job.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert job.run_at == job.created_at
    assert job.run_at.tzinfo is UTC


def test_every_option_is_stored(put: How) -> None:
    at = datetime(2040, 5, 6, 7, 8, 9, 123456, UTC)
    job = put(
        {"a": 1}, kind="k", queue="q", priority=4, max_attempts=1, tags=["x", "y"], metadata={"m": [1]}, run_at=at
    )
    assert (job.kind, job.queue, job.priority, job.max_attempts) == ("k", "q", 4, 1)
    assert (job.tags, job.metadata, job.run_at, job.state) == (["x", "y"], {"m": [1]}, at, JobState.Scheduled)


def test_the_job_returned_is_the_job_read_back(client: Client) -> None:
    options: dict[str, Any] = {"tags": ["x"], "metadata": {"m": 1}, "priority": 3}
    for run_at in (None, datetime(2040, 1, 1), datetime(2001, 1, 1)):
        job = client.insert(SendEmail("a"), run_at=run_at, **options)
        assert job == client.get_job(job.id)
        jobs = client.insert_many_copy([SendEmail("a"), Unregistered(1)], run_at=run_at, **options)
        assert jobs == [client.get_job(each.id) for each in jobs]


def test_a_plain_dict_needs_a_kind(client: Client, put: How) -> None:
    for args in ({}, {"kind": "mail"}, OrderedDict(n=1)):
        with pytest.raises(ValidationError, match='args is a plain dict, which does not say which kind.*pass kind="…"'):
            put(args)
    assert count(client) == 0


def test_a_key_that_is_called_kind_is_data(put: How) -> None:
    job = put({"kind": "mail"}, kind="plain")
    assert (job.kind, job.args) == ("plain", {"kind": "mail"})


def test_the_one_dict_without_a_kind_among_many_jobs_is_named(client: Client) -> None:
    jobs = [SendEmail("a"), {"n": 1}]
    for insert in (client.insert_many, client.insert_many_copy, client.enqueue_many_copy):
        with pytest.raises(ValidationError, match=r"^jobs\[1\]: args is a plain dict"):
            insert(jobs)
    assert count(client) == 0
    assert client.insert_many(jobs, opts=[None, {"kind": "plain"}]).inserted == 2


def test_the_queue_is_that_of_the_registered_task_unless_given(put: How, client: Client) -> None:
    client.task(SendEmail, queue="email")(print)
    client.task(None, kind="plain", queue="dicts")(print)
    assert put(SendEmail("a")).queue == "email"
    assert put(SendEmail("a"), queue="other").queue == "other"
    assert put(SendEmail("a"), kind="resend").queue == "default"
    assert put({}, kind="plain").queue == "dicts"
    assert put({}, kind="send_email").queue == "email"


@pytest.mark.parametrize("metadata", [{}, {"a": None}, [1, "x"], "text", 5, 0, True, False, [], ""])
def test_metadata_may_be_any_json(put: How, metadata: Any) -> None:
    assert put({}, kind="plain", metadata=metadata).metadata == metadata


@pytest.mark.parametrize(
    "tags", [[], (), ["a"] * 20, ("a", "b"), ["", "é", 'quo"te', "back\\slash", "new\nline", "{}"]]
)
def test_tags_are_strings_of_any_kind(put: How, tags: Any) -> None:
    assert put({}, kind="plain", tags=tags).tags == list(tags)


@pytest.mark.parametrize("name", ["x" * 200, "ā" * 200, "with space", "a.b:c/d", "🎉", "%s", "it's", "null"])
def test_names_may_be_200_characters_of_anything_printable(put: How, name: str) -> None:
    job = put({}, queue=name, kind=name)
    assert (job.queue, job.kind) == (name, name)


TEN = timezone(timedelta(hours=10))
FUTURE = datetime(2040, 1, 31, 12, 0, 0, 250000, UTC)


class HasIsoformat:
    def isoformat(self) -> str:
        return "2040-01-31T12:00:00.25Z"


SAID = (
    FUTURE,
    FUTURE.astimezone(TEN),
    FUTURE.replace(tzinfo=None),
    "2040-01-31T12:00:00.25Z",
    "2040-01-31T12:00:00.250000+00:00",
    "2040-01-31 22:00:00.25+10:00",
    "2040-01-31T12:00:00.25",
    "2040-01-31 12:00:00.25",
    HasIsoformat(),
)


def test_run_at_may_be_said_in_many_ways(put: How) -> None:
    for run_at in SAID:
        job = put({}, kind="plain", run_at=run_at)
        assert (job.run_at, job.state) == (FUTURE, JobState.Scheduled), run_at


def test_a_run_at_that_is_not_in_the_future_makes_the_job_available(put: How) -> None:
    for run_at in ("0002-06-01T00:00:00Z", "1969-12-31T23:59:59Z", datetime(2020, 1, 1)):
        assert put({}, kind="plain", run_at=run_at).state is JobState.Available


def test_what_is_the_future_the_servers_clock_says(client: Client) -> None:
    assert client.insert({}, kind="plain", run_at=datetime.now(UTC) + timedelta(minutes=1)).state is JobState.Scheduled
    assert client.insert({}, kind="plain", run_at=datetime.now(UTC) - timedelta(seconds=1)).state is JobState.Available


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"priority": 0}, ValidationError, "priority is 0; it must be a whole number from 1 to 4"),
    ({"priority": 5}, ValidationError, "priority is 5"),
    ({"priority": "2"}, ValidationError, "priority is '2'"),
    ({"priority": 2.0}, ValidationError, "priority is 2.0"),
    ({"priority": True}, ValidationError, "priority is True"),
    ({"priority": None}, ValidationError, "priority is None"),
    ({"priority": 32768}, OverflowError, "priority is 32768; it must be a whole number from 1 to 4"),
    ({"priority": -(10**30)}, OverflowError, "priority"),
    ({"max_attempts": 0}, ValidationError, "max_attempts is 0; it must be a whole number from 1 to 1000"),
    ({"max_attempts": 1001}, ValidationError, "max_attempts is 1001"),
    ({"max_attempts": -32769}, OverflowError, "max_attempts"),
    ({"tags": "urgent"}, ValidationError, "tags is 'urgent'; it must be a list of strings"),
    ({"tags": {"a"}}, ValidationError, "list of strings"),
    ({"tags": ["a"] * 21}, ValidationError, "tags has 21 entries; a job has at most 20"),
    ({"tags": ["a", 5]}, ValidationError, r"tags\[1\] is 5 \(int\)"),
    ({"tags": ["a", None]}, ValidationError, r"tags\[1\] is None"),
    ({"tags": ["a\0b"]}, ValidationError, r"tags\[0\] contains NUL"),
    ({"tags": ["\ud800"]}, ValidationError, r"tags\[0\] .*surrogate"),
    ({"metadata": {"a": {1, 2}}}, ValidationError, "metadata.a is a set"),
    ({"metadata": {"a": float("nan")}}, ValidationError, "metadata.a is nan"),
    ({"queue": ""}, ValidationError, "queue '' is not a name"),
    ({"queue": "x" * 201}, ValidationError, r"queue .*\(201 characters\)"),
    ({"queue": "a\tb"}, ValidationError, "queue"),
    ({"queue": 5}, ValidationError, "queue 5"),
    ({"kind": ""}, ValidationError, "kind '' is not a name"),
    ({"kind": "a\nb"}, ValidationError, "kind"),
    ({"kind": "x" * 201}, ValidationError, "kind"),
    ({"run_at": "tomorrow"}, ValidationError, "run_at is 'tomorrow', which is no point in time"),
    ({"run_at": "2040-01-31"}, ValidationError, "run_at"),
    ({"run_at": "2040-13-31T00:00:00Z"}, ValidationError, "run_at"),
    ({"run_at": date(2040, 1, 31)}, ValidationError, "run_at"),
    ({"run_at": 1_900_000_000}, ValidationError, "run_at is 1900000000"),
    ({"run_at": timedelta(days=1)}, ValidationError, "run_at"),
    ({"run_at": datetime.max.replace(tzinfo=UTC)}, ValidationError, "years 2 to 9998"),
    ({"run_at": datetime.min.replace(tzinfo=TEN)}, ValidationError, "run_at"),
]


@pytest.mark.parametrize(("options", "error", "text"), REFUSED)
def test_options_out_of_range_are_refused_by_name_and_limits_before_anything_is_sent(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    client = Client("postgresql://nobody@127.0.0.1:1/nowhere")
    for insert in (
        lambda: client.insert({}, **{"kind": "k", **options}),
        lambda: client.insert_many([{}], **{"kind": "k", **options}),
        lambda: client.insert_many_copy([{}], **{"kind": "k", **options}),
    ):
        with pytest.raises(error, match=text):
            insert()


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"items": [{"price": 1}, {"price": float("inf")}]}, r"args\.items\[1\]\.price is inf"),
        ({"a": {"b": b"x"}}, r"args\.a\.b is bytes"),
        ({"a": {1: 2}}, r"args\.a has the key 1 \(int\)"),
        ({"n": 2**63}, r"args\.n is 9223372036854775808"),
        ({"s": "a\0"}, r"args\.s contains NUL"),
        ({"o": object()}, r"args\.o is of type object"),
        (SendEmail(to=object()), r"args\.to is of type object"),  # type: ignore[arg-type]
        (SendEmail, "args is the class SendEmail itself; pass an instance"),
        (5, "args of type int are not a JSON object"),
        ("text", "args of type str are not a JSON object"),
        (None, "not a JSON object"),
        ([1], "not a JSON object"),
        ({"big": "x" * 1_000_001}, "more than the limit of 1,000,000"),
    ],
)
def test_args_that_cannot_be_stored_are_refused_by_path(client: Client, args: Any, text: str) -> None:
    kind = {"kind": "plain"} if isinstance(args, dict) else {}
    with pytest.raises(ValidationError, match=text):
        client.insert(args, **kind)
    with pytest.raises(ValidationError, match=text):
        client.insert_many([SendEmail("a")] * 3 + [args], **kind)
    with client.transaction() as tx, pytest.raises(ValidationError, match=text):
        tx.insert(args, **kind)
    assert count(client) == 0


def test_an_option_there_is_not_is_a_type_error(client: Client) -> None:
    with pytest.raises(TypeError, match="prioritty"):
        client.insert({}, kind="plain", prioritty=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        client.insert({}, "kind")  # type: ignore[misc]


def test_one_job_that_cannot_be_stored_leaves_a_hundred_thousand_uninserted(client: Client) -> None:
    def jobs() -> Iterator[Any]:
        for n in range(30_000):
            yield {"n": n}
        yield {"n": {1, 2}}

    with pytest.raises(ValidationError, match=r"^jobs\[30000\]: args\.n is a set"):
        client.insert_many(jobs(), kind="plain")
    with pytest.raises(ValidationError, match=r"^args\.n is a set"):
        client.insert({"n": {1}}, kind="plain")
    assert count(client) == 0


def test_what_the_callers_own_iterable_raises_stays_as_it_is(client: Client) -> None:
    def jobs() -> Iterator[Any]:
        yield {}
        raise ValidationError("of the caller's")

    with pytest.raises(ValidationError, match="^of the caller's$"):
        client.insert_many(jobs(), kind="plain")


def test_bulk_insert_takes_any_iterable(client: Client) -> None:
    assert client.insert_many([]) == InsertedMany([], 0, 0)
    assert client.insert_many_copy([]) == []
    assert client.enqueue_many_copy(iter(())) == 0
    many = client.insert_many(({"n": n} for n in range(25_001)), kind="plain")
    assert (many.inserted, many.skipped, len(set(many.ids))) == (25_001, 0, 25_001)
    with client.transaction() as tx:
        wrong = "select count(*) as n from unnest($1::bigint[]) with ordinality u(id, n) join awa.job_log using (id)"
        assert tx.fetch_one(f"{wrong} where (args->>'n')::int <> u.n - 1", many.ids)["n"] == 0
        assert tx.fetch_one(wrong, many.ids)["n"] == 25_001


def test_bulk_insert_takes_arguments_of_different_types(client: Client) -> None:
    client.task(SendEmail, queue="email")(print)
    jobs = client.insert_many_copy([SendEmail("a"), Plain(1), Unregistered(3), SendEmail("b")])
    assert [(job.kind, job.queue) for job in jobs] == [
        ("send_email", "email"),
        ("plain", "default"),
        ("unregistered", "default"),
        ("send_email", "email"),
    ]
    assert [job.args for job in jobs][1:3] == [{"n": 1}, {"n": 3}]


def test_bulk_insert_holds_a_part_of_the_jobs_in_memory(client: Client) -> None:
    import tracemalloc

    def jobs() -> Iterator[Any]:
        for n in range(120_000):
            yield {"n": n, "text": "x" * 200}

    client.insert_many([{}], kind="plain")
    tracemalloc.start()
    many = client.insert_many(jobs(), kind="plain")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert many.inserted == 120_000
    assert peak < 40_000_000, f"{peak:,} bytes; all jobs together take about 60 million"


def test_the_servers_time_zone_changes_nothing(database: str, connection: psycopg.Connection[Any]) -> None:
    connection.execute("alter role current_user in database " + connection.info.dbname + " set timezone to 'NZ'")
    with Client(database) as client:
        job = client.insert({}, kind="plain", run_at="2040-01-31T12:00:00Z")
        assert job == client.get_job(job.id)
        assert (job.created_at.utcoffset(), job.run_at.utcoffset()) == (timedelta(0), timedelta(0))  # type: ignore[union-attr]


def test_more_jobs_than_one_chunk_holds_keep_their_order(client: Client, connection: psycopg.Connection[Any]) -> None:
    """The first chunk has some thousands; the next ones are read while it is sent, and grow."""
    jobs = 3 * FIRST_JOBS + 7
    done = client.insert_many(({"n": n} for n in range(jobs)), kind="x")
    assert (done.inserted, len(done.ids), done.ids) == (jobs, jobs, sorted(done.ids))
    rows = connection.execute("select id, (args ->> 'n')::int from awa.job_log order by id").fetchall()
    assert rows == list(zip(done.ids, range(jobs), strict=True))


def test_what_is_wrong_with_a_job_read_ahead_is_told_and_nothing_is_inserted(
    client: Client, connection: psycopg.Connection[Any]
) -> None:
    wrong = FIRST_JOBS + 100
    with pytest.raises(ValidationError, match=rf"^jobs\[{wrong}\]: args\.n"):
        client.insert_many(({"n": float("nan") if n == wrong else n} for n in range(3 * FIRST_JOBS)), kind="x")
    assert connection.execute("select count(*) from awa.job_log").fetchone() == (0,)

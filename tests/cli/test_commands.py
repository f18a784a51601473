"""What each command does and prints."""

import json
import re
from typing import Any

import psycopg
import pytest

from awa import Client, JobState
from awa.database.schema import chain
from awa.database.statements import script
from awa.engine.seal import seal_all
from tests.cli.conftest import Run

AGE = re.compile(r"\d+s")


def fail(job: Any) -> None:
    raise LookupError(f"no customer {job.args['n']}\nsecond line")


def test_migrate_installs_once(awa: Run, empty_database: str) -> None:
    env = {"DATABASE_URL": empty_database}
    assert (
        awa("migrate", "--version", env=env).stdout
        == f"schema version none (this release works with {chain.VERSION})\n"
    )
    assert (
        awa("migrate", "--version", chain.VERSION, env=env).stdout.splitlines()[-1]
        == f"The schema is at version {chain.VERSION}."
    )
    assert awa("migrate", env=env).stdout == f"Nothing to do: the schema is at version {chain.VERSION}.\n"
    assert json.loads(awa("migrate", "--json", env=env).stdout) == {"applied": [], "version": chain.VERSION}
    assert json.loads(awa("migrate", "--version", "--json", env=env).stdout)["version"] == chain.VERSION


def test_migrate_sql_is_what_migrate_would_run(awa: Run, empty_database: str) -> None:
    printed = awa("migrate", "--sql", env={"DATABASE_URL": ""}).stdout
    assert script("schema.sql") in printed
    with psycopg.connect(empty_database) as connection:
        connection.execute(printed.encode())
    assert "Nothing to do" in awa("migrate", env={"DATABASE_URL": empty_database}).stdout
    assert awa("migrate", "--sql", "--from", chain.VERSION).stdout == ""
    assert (printed.splitlines()[0], printed.splitlines()[-1]) == ("begin;", "commit;")
    assert ".md" not in printed
    assert json.loads(awa("migrate", "--sql", "--json", "--to", "1").stdout)[0]["version"] == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--from", "0"), "without --sql"),
        (("--to", "1"), "without --sql"),
        (("--sql", "--version"), "exclude each other"),
        (("--sql", "--version", str(chain.VERSION)), "exclude each other"),
        (("--version", "99"), f"--version is 99; this release brings a database to version {chain.VERSION} only"),
        (("--version", "0"), "--version is 0; this release"),
        (("--version", "x"), "--version is x; this release"),
        (("--sql", "--from", "5", "--to", "2"), "from version 5 to 2: this release knows versions 0 (no schema) to "),
        (
            ("--sql", "--to", "99"),
            f"from version 0 to 99: this release knows versions 0 (no schema) to {chain.VERSION}",
        ),
        (("--sql", "--from", "-1"), "from version -1"),
        (("--sql", "--from", "1", "--to", "0"), "from version 1 to 0"),
    ],
)
def test_options_of_migrate_that_do_not_fit_are_refused(
    awa: Run, empty_database: str, options: tuple[str, ...], told: str
) -> None:
    done = awa("migrate", *options, code=2, env={"DATABASE_URL": empty_database})
    assert (done.stdout, told in done.stderr) == ("", True), done.stderr
    assert awa("migrate", "--version", env={"DATABASE_URL": empty_database}).stdout.startswith("schema version none")


def test_job_list_is_a_table(awa: Run, client: Client) -> None:
    client.insert({}, kind="a_kind_whose_name_is_longer_than_its_column", queue="email", tags=["a", "b"])
    client.insert({}, kind="later", run_at="2040-01-01T00:00:00Z", max_attempts=1000)
    lines = awa("job", "list").stdout.splitlines()
    assert [[AGE if AGE.fullmatch(cell) else cell for cell in line.split()] for line in lines] == [
        ["ID", "KIND", "QUEUE", "STATE", "ATT", "MAX", "AGE", "TAGS", "ERROR"],
        ["2", "later", "default", "scheduled", "0", "1000", AGE, "-", "-"],
        ["1", "a_kind_whose_name_is_longer_than_its_column", "email", "available", "0", "25", AGE, "a,b", "-"],
        ["2", "jobs", "listed."],
    ]
    assert lines[0].index("QUEUE") == lines[1].index("default") == lines[2].index("email")
    assert awa("job", "list", "--state", "scheduled").stdout.splitlines()[-1] == "1 jobs listed."
    assert awa("job", "list", "--kind", "later", "--queue", "email").stdout.splitlines()[-1] == "0 jobs listed."
    assert awa("job", "list", "--limit", "1").stdout.splitlines()[-2:] == ["1 jobs listed.", "Next page: --before-id 2"]
    assert awa("job", "list", "--limit", "0", code=2).stderr
    newest, _ = json.loads(awa("job", "list", "--json").stdout)
    assert (newest["id"], newest["state"], newest["run_at"]) == (2, "scheduled", "2040-01-01T00:00:00+00:00")


def test_job_show_has_every_attribute_and_every_attempt(awa: Run, client: Client, connection: Any) -> None:
    client.task(kind="bad")(fail)
    job = client.insert({"n": 7, "é": "ß"}, kind="bad", tags=["t"], metadata={"m": 1}, max_attempts=2)
    client.work()
    connection.execute("update awa.deferred set run_at = now()")
    client.work()
    shown = awa("job", "show", job.id).stdout
    for name, value in (
        ("id", str(job.id)),
        ("kind", "bad"),
        ("state", "failed"),
        ("attempt", "2"),
        ("args", '{"n": 7, "é": "ß"}'),
        ("tags", '["t"]'),
        ("metadata", '{"m": 1}'),
        ("result", "-"),
    ):
        assert re.search(rf"^{name} +{re.escape(value)}$", shown, re.MULTILINE), name
    assert re.findall(r"^attempt +(\d: \w+)$", shown, re.MULTILINE) == ["1: retryable", "2: failed"]
    for name, value in (
        ("started", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00"),
        ("finished", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00"),
        ("took", r"\d+\.\d{6} s"),
        ("worker", r"\d+"),
        ("cpu", r"\d+\.\d{6} s"),
        ("peak memory", r"\d+\.\d MiB"),
        ("error", "LookupError: no customer 7"),
    ):
        assert len(re.findall(rf"^  {name} +{value}$", shown, re.MULTILINE)) == 2, name
    assert "raise LookupError" in shown
    as_json = json.loads(awa("job", "show", job.id, "--json").stdout)
    assert (as_json["id"], as_json["state"], len(as_json["errors"])) == (job.id, "failed", 2)
    assert [attempt["outcome"] for attempt in as_json["attempts"]] == ["retryable", "failed"]


def test_job_show_of_a_job_that_has_not_run(awa: Run, client: Client) -> None:
    job = client.insert({}, kind="dict")
    shown = awa("job", "show", job.id).stdout
    assert re.search(r"^state +available$", shown, re.MULTILINE)
    assert len(re.findall("^attempt ", shown, re.MULTILINE)) == 1


def test_job_show_says_why_a_job_ended_that_has_not_run(awa: Run, client: Client) -> None:
    job = client.insert({}, kind="dict")
    client.cancel(job.id)
    shown = awa("job", "show", job.id).stdout
    assert re.search(r"^error +cancelled: cancelled by admin$", shown, re.MULTILINE)
    assert len(re.findall("cancelled by admin", shown)) == 1


def test_jobs_are_cancelled_and_retried(awa: Run, client: Client) -> None:
    job = client.insert({}, kind="dict")
    assert awa("job", "cancel", job.id).stdout == f"Cancelled job {job.id}\n"
    assert client.get_job(job.id).state is JobState.Cancelled
    assert awa("job", "cancel", job.id, code=1).stderr.startswith(f"error: job {job.id} cannot be cancelled: it is")
    assert awa("job", "retry", job.id).stdout == f"Retried job {job.id}\n"
    assert client.get_job(job.id).state is JobState.Available
    assert json.loads(awa("job", "cancel", job.id, "--json").stdout)["state"] == "cancelled"


def test_keys_are_shown_in_hexadecimal(awa: Run, client: Client) -> None:
    job = client.insert({}, kind="keyed", unique_opts={"by_args": True}, ordering_key=b"\x01\xff")
    shown = json.loads(awa("job", "show", job.id, "--json").stdout)
    assert job.unique_key is not None
    assert (shown["unique_key"], shown["ordering_key"]) == (job.unique_key.hex(), "01ff")
    assert json.loads(awa("job", "list", "--json").stdout)[0]["ordering_key"] == "01ff"
    assert re.search(r"^ordering_key +01ff$", awa("job", "show", job.id).stdout, re.MULTILINE)


def test_what_steers_a_terminal_is_shown_as_text(awa: Run, client: Client, database: str) -> None:
    hostile = "\x1b]0;owned\x07\x9b31m\u202e"

    def fail_hostile(job: Any) -> None:
        raise type(f"Bad{hostile}", (Exception,), {})(f"went wrong {hostile}\r")

    client.configure_queue("letters", dlq=True)
    client.task(kind="bad", queue="letters")(fail_hostile)
    job = client.insert(
        {"a": hostile}, kind="bad", queue="letters", tags=[hostile], metadata={hostile: 1}, max_attempts=1
    )
    client.work()
    client.pause_queue("letters", paused_by=hostile)
    with psycopg.connect(database) as connection:
        connection.execute("update awa.dlq set reason = %s", [hostile])
    for command in (
        ("job", "show", job.id), ("job", "show", job.id, "--json"), ("job", "list"), ("job", "list", "--json"),
        ("dlq", "list"), ("dlq", "list", "--json"), ("dlq", "show", job.id), ("queue", "stats"), ("queue", "deaths"),
    ):  # fmt: skip
        printed = awa(*command).stdout
        assert not [sign for sign in printed if not sign.isprintable() and sign != "\n"], command
    refused = awa("queue", "pause", hostile, code=1)
    assert not [sign for sign in refused.stderr if not sign.isprintable() and sign != "\n"]


@pytest.mark.parametrize("command", ["show", "cancel", "retry"])
def test_a_job_there_is_not(awa: Run, command: str) -> None:
    assert awa("job", command, 404, code=1).stderr == "error: job not found: 404\n"
    assert "not a valid integer" in awa("job", command, "x", code=2).stderr


def test_queues_are_shown_paused_and_resumed(awa: Run, client: Client) -> None:
    client.insert_many([{}] * 3, kind="dict", queue="email")
    header, row = awa("queue", "stats").stdout.splitlines()
    assert header.split() == (
        "QUEUE QUEUED SCHEDULED AVAILABLE RETRYABLE RUNNING FAILED WAITING DONE/H LAG PAUSED BY".split()
    )
    assert (row.split()[:4], row.split()[-2]) == (["email", "3", "0", "3"], "no")
    assert awa("queue", "pause", "email", "--by", "hine").stdout == "Paused queue 'email'\n"
    assert json.loads(awa("queue", "stats", "--json").stdout)[0]["paused"] is True
    assert awa("queue-stats").stdout.splitlines()[1].split()[-2:] == ["yes", "hine"]
    assert awa("queue", "resume", "email").stdout == "Resumed queue 'email'\n"
    assert json.loads(awa("queue", "stats", "--json").stdout)[0]["paused"] is False
    assert "is not a name" in awa("queue", "pause", "", code=1).stderr


def test_kinds_that_kill_their_workers(awa: Run, client: Client, database: str) -> None:
    assert json.loads(awa("queue", "deaths", "--json").stdout) == []
    client.insert({}, kind="resize", queue="images")
    with psycopg.connect(database) as connection:
        seal_all(connection)
        connection.execute(
            "insert into awa.outcome_count (minute, lane, outcome, jobs, deaths) "
            "select date_trunc('minute', now()), id, 5, 4, 3 from awa.lane"
        )
    header, row = awa("queue", "deaths").stdout.splitlines()
    assert header.split() == ["KIND", "QUEUE", "10", "MIN", "HOUR", "DAY", "WEEK", "LAST"]
    assert row.split()[:6] == ["resize", "images", "3", "3", "3", "3"]
    assert json.loads(awa("queue", "deaths", "--json").stdout)[0]["last_hour"] == 3
    assert client.worker_deaths()[0].last_week == 3


def test_every_command_explains_itself(awa: Run) -> None:
    for command in ("", "migrate", "job", "job list", "job show", "job cancel", "job retry", "queue", "queue stats"):
        assert "Usage:" in awa(*command.split(), "--help").stdout
    for command in ("queue deaths", "queue pause", "queue resume", "dev", "dev postgres"):
        assert "Usage:" in awa(*command.split(), "--help").stdout
    assert awa("--version").stdout.startswith("awa, version ")

"""A name that nothing knows is refused, with what is like it; nothing of it stays."""

from __future__ import annotations

import pytest

from awa import Client
from tests.cli.conftest import Run


@pytest.fixture
def mail(client: Client) -> int:
    """A job of the kind welcome in the queue email."""
    return client.insert({}, kind="welcome", queue="email").id


@pytest.mark.parametrize(
    "command",
    [
        ("queue", "pause", "emial"),
        ("queue", "resume", "emial"),
        ("queue", "policy", "emial"),
        ("queue", "drain", "emial", "--yes"),
        ("queue", "configure", "emial", "--dlq"),
        ("job", "list", "--queue", "emial"),
        ("job", "cancel", "--queue", "emial", "--yes"),
        ("job", "retry-failed", "--queue", "emial"),
        ("job", "insert", "welcome", "--queue", "emial"),
        ("dlq", "list", "--queue", "emial"),
        ("dlq", "depth", "--queue", "emial"),
        ("dlq", "retry-bulk", "--queue", "emial"),
        ("dlq", "move", "--queue", "emial"),
        ("dlq", "purge", "--queue", "emial"),
    ],
)
def test_an_unknown_queue_is_refused(awa: Run, client: Client, mail: int, command: tuple[str, ...]) -> None:
    told = awa(*command, code=1).stderr
    assert told.startswith("error: no queue is called 'emial'; did you mean email?"), told
    assert [stat.queue for stat in client.queue_stats()] == ["email"]
    assert client.known_names().queues == ["email"]
    assert [job.id for job in client.list_jobs()] == [mail]


@pytest.mark.parametrize(
    "command",
    [
        ("job", "list", "--kind", "welcom"),
        ("job", "cancel", "--kind", "welcom", "--yes"),
        ("job", "retry-failed", "--kind", "welcom"),
        ("job", "discard", "--kind", "welcom"),
        ("job", "insert", "welcom", "--queue", "email"),
        ("dlq", "list", "--kind", "welcom"),
        ("dlq", "retry-bulk", "--kind", "welcom"),
        ("dlq", "move", "--kind", "welcom"),
        ("dlq", "purge", "--kind", "welcom"),
    ],
)
def test_an_unknown_kind_is_refused(awa: Run, client: Client, mail: int, command: tuple[str, ...]) -> None:
    told = awa(*command, code=1).stderr
    assert told.startswith("error: no kind is called 'welcom'; did you mean welcome?"), told
    assert [job.id for job in client.list_jobs()] == [mail]


def test_what_is_meant_can_be_forced_and_does_not_stay(awa: Run, client: Client, mail: int) -> None:
    assert "if you mean it, add --force" in awa("queue", "pause", "emails", code=1).stderr
    assert awa("queue", "pause", "emails", "--force").stdout == "Paused queue 'emails'\n"
    assert [stat.queue for stat in client.queue_stats()] == ["email", "emails"]
    assert awa("queue", "resume", "emails").stdout == "Resumed queue 'emails'\n"
    client.configure_queue("emails", dlq=True)
    assert client.known_names().queues == ["email", "emails"]
    client.configure_queue("emails", dlq="default")
    client.resume_queue("never-seen")
    assert [stat.queue for stat in client.queue_stats()] == client.known_names().queues == ["email"]
    assert client.known_names().kinds == ["welcome"]
    assert awa("queue", "configure", "reports", "--dlq").stdout  # is like no other name: it is new


@pytest.mark.parametrize("command", [("job", "list"), ("queue", "stats"), ("migrate", "--version")])
def test_a_variable_that_nothing_reads_is_refused(awa: Run, command: tuple[str, ...]) -> None:
    told = awa(*command, code=1, env={"AWA_PROCESES": "1"}).stderr
    assert told == (
        "error: the environment has AWA_PROCESES, which nothing of Awa's reads: unset or rename it; did you mean "
        "AWA_PROCESSES?\n"
    )
    awa(*command, env={"AWA_WEB_SERVICE_HOST": "10.0.0.1", "AWA_PORT_5432_TCP_ADDR": "10.0.0.1", "AWA_TEST_X": "1"})
    assert "Usage:" in awa(*command, "--help", env={"AWA_PROCESES": "1"}).stdout


def test_the_supervisor_refuses_it_too_and_a_client_says_it_once(process: Run, database: str) -> None:
    done = process("-m", "awa.cli.supervise", "--app", "shop:client", AWA_PROCESES="1", DATABASE_URL=database)
    assert (done.returncode, "did you mean AWA_PROCESSES?" in done.stderr) == (2, True), done.stderr
    code = "import awa; awa.Client('postgresql://x'); awa.Client('postgresql://y'); awa.AsyncClient('postgresql://z')"
    told = process("-c", code, AWA_PROCESES="1").stderr
    assert told.count("AWA_PROCESES") == 1, told
    assert process("-c", code).stderr == ""

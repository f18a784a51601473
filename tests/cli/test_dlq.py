"""`awa dlq`: dead letters from the command line; and what `awa job` does with many failed jobs."""

import json
import re
from collections.abc import Callable

import pytest

from awa import Client, Job, TerminalError
from tests.cli.conftest import Run


def fail(job: Job) -> None:
    raise TerminalError("no such customer")


@pytest.fixture
def dead_letter(client: Client) -> Callable[..., list[int]]:
    """Makes dead letters in queue "mail", or plain failed jobs."""
    client.task(kind="bad")(fail)
    client.task(kind="worse")(fail)

    def make(jobs: int, kind: str = "bad", *, dlq: bool = True) -> list[int]:
        client.configure_queue("mail", dlq=dlq)
        ids = client.insert_many([{"n": 1}] * jobs, kind=kind, queue="mail", tags=["t"]).ids
        client.work(["mail"])
        return ids

    return make


def test_lists_have_pages(awa: Run, dead_letter: Callable[..., list[int]]) -> None:
    assert awa("dlq", "list").output.splitlines()[-1] == "0 dead letters listed."
    ids = dead_letter(5)
    listed: list[int] = []
    options: list[str] = []
    for _ in range(3):
        lines = awa("dlq", "list", "--limit", 2, *options).output.splitlines()
        listed += [int(line.split()[0]) for line in lines if re.match(r"\d+ +bad +mail +1 +\S+ +terminal_error$", line)]
        if not lines[-1].startswith("Next page: "):
            break
        options = lines[-1].removeprefix("Next page: ").split()
    assert listed == ids[::-1]
    assert lines[-1] == "1 dead letters listed."
    found = json.loads(awa("dlq", "list", "--json", "--tag", "t", "--kind", "bad", "--queue", "mail").output)
    assert [entry["job"]["id"] for entry in found] == ids[::-1]
    assert json.loads(awa("dlq", "list", "--json", "--tag", "u").output) == []


def test_one_is_shown(awa: Run, dead_letter: Callable[..., list[int]]) -> None:
    (job,) = dead_letter(1)
    shown = dict(line.split(None, 1) for line in awa("dlq", "show", job).output.splitlines() if line[0] != " ")
    assert (shown["reason"], shown["runs"], shown["kind"], shown["args"]) == ("terminal_error", "1", "bad", '{"n": 1}')
    assert re.search(r"^last error +TerminalError: no such customer$", awa("dlq", "show", job).output, re.MULTILINE)
    entry = json.loads(awa("dlq", "show", job, "--json").output)
    assert (entry["reason"], entry["job"]["state"], entry["original_run_lease"]) == ("terminal_error", "failed", 1)
    assert (
        awa("dlq", "show", 404, code=1).output == "error: job 404 is no dead letter; awa job show 404 says what it is\n"
    )


def test_depths_are_counted(awa: Run, dead_letter: Callable[..., list[int]], client: Client) -> None:
    dead_letter(3)
    assert awa("dlq", "depth").output.splitlines()[1:] == ["mail                          3", "3 dead letters."]
    client.insert({}, kind="good", queue="else")
    assert json.loads(awa("dlq", "depth", "--json", "--queue", "else").output) == {"total": 0, "by_queue": []}
    assert (
        awa("dlq", "depth", "--queue", "mial", code=1).stderr
        == "error: no queue is called 'mial'; did you mean mail?\n"
    )


def test_one_runs_again(awa: Run, dead_letter: Callable[..., list[int]], client: Client) -> None:
    first, second = dead_letter(2)
    assert awa("dlq", "retry", first).output == f"Retried job {first}\n"
    assert "is no dead letter" in awa("dlq", "retry", first, code=1).output
    options = ("--queue", "night", "--priority", 4, "--run-at", "2040-01-01T00:00:00Z")
    assert "there is only mail; if you mean it, add --force" in awa("dlq", "retry", second, *options, code=1).stderr
    changed = json.loads(awa("dlq", "retry", second, *options, "--force", "--json").output)
    assert (changed["queue"], changed["priority"], changed["state"]) == ("night", 4, "scheduled")
    assert client.dlq_depth() == 0


def test_many_are_moved_retried_and_purged(awa: Run, dead_letter: Callable[..., list[int]], client: Client) -> None:
    first, second, *rest = dead_letter(4, dlq=False)
    assert awa("dlq", "move", first, "--reason", "odd").output == f"Moved job {first}\n"
    refusal = awa("dlq", "move", first, code=1).output
    assert "was not moved" in refusal
    assert f"awa job show {first} says what it is" in refusal
    assert json.loads(awa("dlq", "move", second, "--json").output)["reason"] == "manual"
    assert awa("dlq", "move", "--kind", "bda", code=1).stderr == "error: no kind is called 'bda'; there is only bad\n"
    assert json.loads(awa("dlq", "move", "--queue", "mail", "--json").output) == {"count": 2}
    assert awa("dlq", "purge", first).output == f"Purged job {first}\n"
    assert json.loads(awa("dlq", "purge", second, "--json").output) == {"count": 1}
    assert awa("dlq", "purge", "--before-id", rest[1]).output == "Purged 1 jobs\n"
    assert awa("dlq", "retry-bulk", "--tag", "t").output == "Retried 1 jobs\n"
    assert awa("dlq", "retry-bulk", "--all").output == "Retried 0 jobs\n"
    assert [job.id for job in client.list_jobs()] == rest[1:]


@pytest.mark.parametrize("command", ["retry-bulk", "move", "purge"])
def test_which_has_to_be_said(awa: Run, command: str, dead_letter: Callable[..., list[int]], client: Client) -> None:
    (job,) = dead_letter(1)
    assert "say which: --kind, --queue" in awa("dlq", command, code=2).output
    if command != "retry-bulk":
        assert "not both" in awa("dlq", command, job, "--all", code=2).output
    if command == "purge":  # 0 is no scope that anything is in, and is not taken for none
        assert awa("dlq", command, "--before-id", "0").output == "Purged 0 jobs\n"
    assert client.dlq_depth() == 1


def test_failed_jobs_are_retried_or_discarded(awa: Run, dead_letter: Callable[..., list[int]], client: Client) -> None:
    dead_letter(3, dlq=False)
    dead_letter(2, "worse", dlq=False)
    assert awa("job", "retry-failed", "--kind", "bad").output == "Retried 3 jobs\n"
    assert json.loads(awa("job", "retry-failed", "--queue", "mail", "--json").output)["matched"] == 2
    client.work(["mail"])
    assert awa("job", "discard", "--kind", "worse", "--yes").output == "Discarded 2 jobs\n"
    assert len(client.list_jobs(state="failed")) == 3
    for wrong in ((), ("--kind", "a", "--queue", "b")):
        assert "one of them and not both" in awa("job", "retry-failed", *wrong, code=2).output

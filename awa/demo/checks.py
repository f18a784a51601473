"""True if what the demo found is what Awa promises."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import psycopg

from awa.demo.facts import Facts
from awa.demo.kill import Kill

SPENT: Final = """
select attempt, outcome::text, coalesce(error ->> 'error', '')
from awa.attempts where job_id = %s order by retry_round, attempt
"""


class Check(NamedTuple):
    """One promise, and whether it was kept."""

    promise: str
    holds: bool
    found: str
    """The finding, reported when the check fails."""


def of_the_work(facts: Facts) -> list[Check]:
    """Check that everything was done, once."""
    return [
        Check(
            "each file has exactly one row",
            facts.rows == facts.paths == facts.files,
            f"{facts.files} files, {facts.rows} rows for {facts.paths} different ones",
        ),
        Check("each job completed", facts.completed == facts.files, f"{facts.completed} of {facts.files} did"),
        Check("each digest is that of the file", not facts.wrong_digests, ", ".join(facts.wrong_digests[:5])),
    ]


def of_the_kill(connection: psycopg.Connection[Any], kill: Kill | None) -> list[Check]:
    """Check that the worker was replaced, and that its job has spent one attempt and completed with the next."""
    if kill is None:
        return [Check("a worker was killed in the middle of a job", False, "the work was done before one could be")]
    attempts = connection.execute(SPENT, [kill.job]).fetchall() if kill.job else []
    expected = [(1, "retryable", "worker killed by SIGKILL"), (2, "completed", "")]
    return [
        Check("the killed worker was replaced", kill.replaced_s is not None, "no other worker signed in"),
        Check(
            "the job it was in has spent an attempt, and completed with the next",
            attempts == expected,
            f"its attempts: {attempts}",
        ),
    ]


def of_the_processes(exit_code: int, survivors: list[int]) -> list[Check]:
    """Check that the supervisor left in order and nothing of it is left."""
    return [
        Check("the supervisor drained and exited with 0", exit_code == 0, f"exit code {exit_code}"),
        Check("no process is left", not survivors, f"still there: {survivors}"),
    ]

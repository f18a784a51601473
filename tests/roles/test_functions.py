"""Functions that run with the rights of the schema's owner cannot be made to do anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

PUBLIC = """
    select p.oid::regprocedure::text, p.proconfig,
           exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                   where a.grantee = 0 and a.privilege_type = 'EXECUTE')
    from pg_proc p where pronamespace = 'awa'::regnamespace and prosecdef order by 1"""


def test_functions_with_the_owners_rights_pin_their_search_path(connection: psycopg.Connection[Any]) -> None:
    found = connection.execute(PUBLIC).fetchall()
    assert {name.partition("(")[0] for name, _, _ in found} == {
        "awa.clear_default",
        "awa.count_idle",
        "awa.drop_segment",
        "awa.extend_beyond",
        "awa.extend_log",
        "awa.hold_jobs",
        "awa.insert_job",
        "awa.insert_job_compat",
        "awa.insert_jobs",
        "awa.leave_segment",
        "awa.note_changed",
        "awa.raise_job_id",
        "awa.unsealed",
    }
    assert [name for name, settings, _ in found if "search_path=pg_catalog, pg_temp" not in (settings or [])] == []


def test_functions_with_the_owners_rights_are_not_for_everybody(connection: psycopg.Connection[Any]) -> None:
    assert [name for name, _, is_public in connection.execute(PUBLIC) if is_public] == []


def test_ids_are_not_raised_beyond_what_there_is(connection: psycopg.Connection[Any]) -> None:
    """The sequence goes forward only: who may raise it must not be able to use it up."""
    before = connection.execute("select last_value from awa.job_id").fetchone()
    for least in (10_000_000, 2**63 - 1):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="no job and no segment has come so far"):
            connection.execute("select awa.raise_job_id(%s)", [least])
    assert connection.execute("select last_value from awa.job_id").fetchone() == before


@pytest.mark.parametrize(
    "change", ["first_id = 0", "end_id = 9223372036854775807", "in_default = true", "leaving = true"]
)
def test_a_worker_cannot_say_where_segments_are(login: Callable[[str], str], change: str) -> None:
    with psycopg.connect(login("awa_worker")) as worker, pytest.raises(psycopg.errors.InsufficientPrivilege):
        worker.execute(f"update awa.segment set {change}".encode())

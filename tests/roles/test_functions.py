"""Functions that run with the rights of the schema's owner cannot be made to do anything else."""

from __future__ import annotations

from typing import Any

import psycopg

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

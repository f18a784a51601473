"""Sessions in which a role or database has switched triggers off: put on where that may be done, else refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

import awa
from awa import embedded
from awa.database.open import connect
from tests.fixtures.postgres import for_database
from tests.trouble.pooler import in_front_of

pytestmark = pytest.mark.postgres

WHERE = {
    "role": "alter role {role} in database {database} set session_replication_role = replica",
    "database": "alter database {database} set session_replication_role = replica",
}


@pytest.fixture
def superuser(database: str, superuser_dsn: str, connect: Callable[..., Any]) -> psycopg.Connection[Any]:
    """A superuser in the test's database."""
    with psycopg.connect(database) as owner:
        return connect(for_database(superuser_dsn, owner.info.dbname, "postgres"))  # type: ignore[no-any-return]


@pytest.fixture
def names(database: str) -> dict[str, Identifier]:
    """The role and the database of the test."""
    with psycopg.connect(database) as owner:
        return {"role": Identifier(owner.info.user), "database": Identifier(owner.info.dbname)}


@pytest.fixture(params=WHERE)
def off(request: pytest.FixtureRequest, superuser: psycopg.Connection[Any], names: dict[str, Identifier]) -> None:
    """Triggers are off in sessions that are opened from now on."""
    superuser.execute(SQL(WHERE[request.param]).format(**names))


def remedy(dsn: str) -> str:
    """What a client, an asynchronous one and a supervisor's connection are told to do."""

    async def asynchronous() -> None:
        async with awa.AsyncClient(dsn) as client:
            await client.insert({}, kind="k")

    def own() -> None:
        connect(dsn, role="supervisor").close()

    told = set()
    for use in (lambda: awa.Client(dsn).insert({}, kind="k"), lambda: asyncio.run(asynchronous()), own):
        with pytest.raises(awa.DatabaseError, match="session_replication_role is replica there .* triggers") as refused:
            use()
        found = re.search("Have a superuser run `(.*)`; then connect again", str(refused.value))
        assert found is not None
        told.add(found[1])
    (only,) = told
    return only


@pytest.mark.usefixtures("off")
def test_it_is_refused_with_what_takes_it_back(database: str, superuser: psycopg.Connection[Any]) -> None:
    superuser.execute(remedy(database).encode())
    with awa.Client(database) as client:
        assert client.get_job(client.insert({}, kind="k").id).kind == "k"


@pytest.mark.processes
@pytest.mark.usefixtures("off")
def test_it_is_refused_behind_a_pooler(
    server: embedded.Server, database: str, superuser: psycopg.Connection[Any]
) -> None:
    with in_front_of(server, database) as pooler:
        told = remedy(pooler.dsn)
    superuser.execute(told.encode())
    with in_front_of(server, database) as pooler, awa.Client(pooler.dsn) as client:
        assert client.get_job(client.insert({}, kind="k").id).kind == "k"


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_role_that_may_puts_them_on(superuser_dsn: str, superuser: psycopg.Connection[Any], is_shared: bool) -> None:
    superuser.execute(SQL(WHERE["database"]).format(database=Identifier(superuser.info.dbname)))
    with connect(for_database(superuser_dsn, superuser.info.dbname, "postgres"), role="x", is_shared=is_shared) as own:
        assert own.execute(b"show session_replication_role").fetchone() == ("origin",)

"""A connection is lost while it is being set up: that is said as any other failure to connect is."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

import awa
from awa.database.open import prepared
from awa.database.prepared import OwnConnection

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("statement", [1, 2, 3])
def test_it_is_lost_at_each_statement(database: str, statement: int) -> None:
    class Lost(OwnConnection):
        """Ended by the server just before one of its statements."""

        said = 0

        def execute(self, *args: Any, **options: Any) -> psycopg.Cursor[Any]:
            self.said += 1
            if self.said == statement:
                with psycopg.connect(database, autocommit=True) as another:
                    another.execute("select pg_terminate_backend(%s, 5000)", [self.info.backend_pid])
            return super().execute(*args, **options)

    opened: list[Lost] = []

    def open_one() -> Lost:
        opened.append(Lost.connect(database, autocommit=True))
        return opened[0]

    with pytest.raises(awa.DatabaseError, match="cannot connect to database"):
        prepared(database, open_one, response_timeout_s=5.0, plan_once=True)
    assert opened[0].closed

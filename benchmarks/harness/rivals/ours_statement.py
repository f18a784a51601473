"""`awa.insert_job`, the statement behind `Client.insert`, sent by psycopg alone: what the queue costs the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from awa.engine.insert.single import INSERT, Envelope, NewJob, parameters

from .ours import Ours
from .protocol import TEXT, main

PARAMETERS = parameters(NewJob(f'{{"n":0,"text":"{TEXT}"}}'.encode(), Envelope("default", "noop", 2, 25)))


class OursStatement(Ours):
    def inserter(self) -> Callable[[int], Any]:
        connection = psycopg.connect(self.dsn, autocommit=True)
        return lambda n: connection.execute(INSERT, PARAMETERS, prepare=True).fetchone()


if __name__ == "__main__":
    main(OursStatement)

"""Arguments too large to be read with those of a whole lease: they are read shortly before their jobs start, a slice at
a time, so that a worker's memory stays near one slice, whatever it has in lease."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import psycopg

from awa.database.errors import is_refusal
from awa.engine import claim


class Unreadable(Exception):
    """The server refuses to send the arguments of one job, whatever they are read with."""


class Contents:
    """Reads arguments and metadata of the large jobs of one lease."""

    def __init__(self) -> None:
        self._waiting = deque[int]()
        self._read: dict[int, tuple[bytes, bytes | None]] = {}

    def begin(self, jobs: Iterable[int]) -> None:
        """Note the large jobs of a new lease, in the order in which they are to run."""
        self._waiting = deque(jobs)
        self._read = {}

    def take(self, connection: psycopg.Connection[Any], job: int) -> tuple[bytes, bytes | None] | None:
        """Return arguments and metadata of a job, and forget them; None: its row is gone.

        Reads them, and those of jobs behind it, where they have not been read. Raises Unreadable.
        """
        while self._waiting and self._waiting[0] != job and job in self._waiting:
            self._read.pop(self._waiting.popleft(), None)  # it was not started, and will not be
        if job not in self._read:
            self._read = self._slice(connection)
        if self._waiting:
            self._waiting.popleft()
        return self._read.pop(job, None)

    def _slice(self, connection: psycopg.Connection[Any]) -> dict[int, tuple[bytes, bytes | None]]:
        """Read the next slice."""
        ahead = list(self._waiting)
        try:
            return claim.contents(connection, ahead)
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
        try:
            return claim.contents(connection, ahead[:1])
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
            raise Unreadable(f"the server cannot send the job's arguments: {error}") from error

"""Short: transactions that rather give up than have others wait behind them."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import errors as pg

from awa import telemetry

LOCK_TIMEOUT_MS: Final = 50
"""The longest anybody waits behind a retire: locks not had by then are given up and tried again at the next round."""


class Short:
    """A transaction that gives up, quietly and whole, when it has to wait for a lock longer than LOCK_TIMEOUT_MS."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.gave_up = False
        self._connection = connection
        self._transaction = connection.transaction()

    def __enter__(self) -> Short:
        self._transaction.__enter__()
        self._connection.execute(f"set local lock_timeout = {LOCK_TIMEOUT_MS}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        self._transaction.__exit__(kind, error, trace)
        if isinstance(error, (pg.LockNotAvailable, pg.DeadlockDetected)):
            self.gave_up = True
            telemetry.emit(telemetry.RETIRE_POSTPONED, reason=str(error).strip())
            return True
        return False

"""Fair semaphore: so many at a time, the others in the order they came."""

from __future__ import annotations

import asyncio
from collections import deque

from awa.database.aio.greenlets import await_


class FairSemaphore:
    """A resource that several tasks of one event loop share, for a limited number at a time.

    A turn that ends is handed on, not put up for grabs: otherwise a task that asks again and again without a pause
    would get it each time, since those that wait have to be woken first.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[asyncio.Future[bool]] = deque()

    def begin(self, wait_s: float | None = None) -> bool:
        """Wait for a turn; return False if there was none for `wait_s` seconds. Called in a greenlet."""
        if self._free:
            self._free -= 1
            return True
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(turn)
        timer = None if wait_s is None else loop.call_later(wait_s, _answer, turn, False)
        try:
            return await_(turn)
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.result():
                self.end()  # handed to us in the moment in which we were cancelled
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def end(self) -> None:
        """Hand the turn on to the task that waits longest. Waits for nothing itself."""
        while self._waiting:
            if _answer(self._waiting.popleft(), True):
                return
        self._free += 1


def _answer(turn: asyncio.Future[bool], answer: bool) -> bool:
    """Tell a waiting task; return whether it still waits."""
    if turn.done():
        return False
    turn.set_result(answer)
    return True

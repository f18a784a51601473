"""Watching the work until it is done, with one kill half-way."""

from __future__ import annotations

from time import monotonic, sleep
from typing import Any, Final

import psycopg

from awa.demo.errors import DemoError
from awa.demo.kill import Killer
from awa.demo.progress import Progress
from awa.demo.submit import Run
from awa.demo.supervisor import Supervisor

CALM_S: Final = 0.1
BUSY_S: Final = 0.01
"""Intervals of the looks: long, as each costs the workers time; short while something is measured."""
ENDED_EVERY_S: Final = 1.0
STALLED_S: Final = 30.0

DONE: Final = "select count(*) from awa_demo.files where run = %s"
ENDED: Final = """
select count(*) filter (where outcome = 'completed'), count(*) filter (where outcome in ('failed', 'cancelled')),
       max(error ->> 'error') filter (where outcome = 'failed')
from awa.attempts where job_id = any (%s)
"""


class Watch:
    """Watches one run."""

    def __init__(
        self, connection: psycopg.Connection[Any], run: Run, supervisor: Supervisor, killer: Killer, shown: Progress
    ) -> None:
        self._connection = connection
        self._run = run
        self._supervisor = supervisor
        self._killer = killer
        self._shown = shown
        self._done = 0
        self._moved_at = monotonic()
        self._ended_at = 0.0

    def until_done(self) -> None:
        """Wait for every job to end. Raises DemoError when one fails, or nothing moves any more."""
        while not self._is_over():
            self._supervisor.check()
            self._look()
            if self._done * 2 >= len(self._run.paths):
                self._tend_kill()
            sleep(BUSY_S if self._is_exciting() else CALM_S)
        self._shown.show(len(self._run.paths))

    def _look(self) -> None:
        row = self._connection.execute(DONE, [self._run.id]).fetchone()
        done = row[0] if row else 0
        if done > self._done:
            self._done, self._moved_at = done, monotonic()
            self._shown.show(done)
        elif monotonic() - self._moved_at > STALLED_S:
            raise DemoError(
                f"no file was analysed for {STALLED_S:.0f} s; {done} of {len(self._run.paths)} are done."
                f"{self._supervisor.shortage()}{self._supervisor.last_words()}"
            )

    def _tend_kill(self) -> None:
        if self._killer.is_done:
            return
        kill = self._killer.step(self._connection)
        if kill is not None:
            self._shown.note(f"  SIGKILL to worker {kill.victim.pid}, in {self._run.paths[kill.victim.job]}")

    def _is_exciting(self) -> bool:
        """Return whether the kill is near, or its recovery going on."""
        return self._done * 2.2 >= len(self._run.paths) and not self._killer.is_done

    def _is_over(self) -> bool:
        if self._done < len(self._run.paths) and monotonic() - self._ended_at < ENDED_EVERY_S:
            return False
        self._ended_at = monotonic()
        row = self._connection.execute(ENDED, [list(self._run.paths)]).fetchone()
        assert row is not None
        completed, failed, error = row
        if failed:
            raise DemoError(f"{failed} jobs failed, one of them with: {error}{self._supervisor.last_words()}")
        return bool(completed == len(self._run.paths)) and not self._is_kill_open()

    def _is_kill_open(self) -> bool:
        """Return whether something about a kill is still to be seen: a new worker may sign in after the last job has
        ended."""
        last = self._killer.last
        return last is not None and not last.has_missed and not self._killer.is_done

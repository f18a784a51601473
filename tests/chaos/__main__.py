"""`python -m tests.chaos --minutes 30 --seed 7`: a run, its report, and exit code 1 if an invariant is violated."""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.chaos.config import Config
from tests.chaos.faults import FAULTS
from tests.chaos.report import report
from tests.chaos.storm import Storm
from tests.fixtures.run import Run, remove_killed_runs


def main() -> int:
    """Run; return the exit code."""
    asked = _arguments()
    config = Config(
        seed=random.randrange(1_000_000) if asked.seed is None else asked.seed,
        seconds=asked.minutes * 60,
        every_s=asked.every,
        jobs_per_s=asked.rate,
        heartbeat_s=asked.heartbeat,
        leader_s=asked.heartbeat,
        kinds=tuple(asked.faults.split(",")) if asked.faults else (),
    )
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # connections break all the time here
    remove_killed_runs()
    run = Run()
    logs = Path(tempfile.mkdtemp(prefix="awa-chaos-"))
    _say(f"seed {config.seed}: {asked.minutes:g} minutes, then working off and checking; Ctrl-C ends it")
    passed = False
    try:
        passed = _storm(config, run.path / "chaos", logs)
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    finally:
        if passed:
            shutil.rmtree(logs)
        else:
            shutil.copy(run.path / "chaos" / "server.log", logs)
            _say(f"seed {config.seed}: the logs are in {logs}")
        run.close()
    return 0 if passed else 1


def _storm(config: Config, server: Path, logs: Path) -> bool:
    storm = Storm(config, server, logs, _say)
    try:
        outcome = storm.run()
    finally:
        storm.close()
    print(report(outcome))
    return outcome.passed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long faults are injected (30)")
    parser.add_argument("--seed", type=int, help="the same seed plans the same faults; left out, one is drawn")
    parser.add_argument("--every", type=float, default=1.3, help="seconds between two faults, in the mean (1.3)")
    parser.add_argument("--rate", type=float, default=60.0, help="jobs a second (60)")
    parser.add_argument("--heartbeat", type=float, default=2.0, help="heartbeats and elections, seconds (2)")
    parser.add_argument("--faults", default="", help=f"only these, separated by commas: {', '.join(FAULTS)}")
    return parser.parse_args()


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

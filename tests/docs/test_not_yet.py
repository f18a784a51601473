"""What README's "Not yet" names is not there: when it comes, its name has to go."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from awa import Client
from awa.cli import main
from awa.worker.job_context import RunningJob
from tests.fixtures.processes import ROOT

TEXT = (ROOT / "README.md").read_text().partition("**Not yet:**")[2].partition("\n\n")[0]
TEXT = " ".join(TEXT.split())
ABSENT = {
    "cron schedules": lambda: hasattr(Client, "periodic") or "cron" in main.commands,
    "callbacks": lambda: hasattr(Client, "complete_external"),
    "job.progress": lambda: RunningJob.progress is not None,
    "job.traceparent": lambda: RunningJob.traceparent is not None,
    "priority or queue of many jobs": lambda: hasattr(Client, "set_priority") or hasattr(Client, "move_queue"),
    "dumps of a job": lambda: hasattr(Client, "dump_job") or hasattr(Client, "dump_run"),
    "health check": lambda: hasattr(Client, "health_check"),
    "a kit for tests": lambda: find_spec("awa.testing") is not None,
    "web page": lambda: find_spec("awa.web") is not None or "serve" in main.commands,
}


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_not_yet_there_is_named_and_what_is_there_is_not(name: str) -> None:
    assert (name in TEXT) is not ABSENT[name]()

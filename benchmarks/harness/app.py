"""The application under measurement: handlers that do next to nothing.

`$BALLAST_MB` makes it as large in memory as an application with many libraries is.
"""

from __future__ import annotations

import os
import time
from typing import Any

import awa

ballast = b"\1" * (int(os.environ.get("BALLAST_MB", "0")) * 1_000_000)

client = awa.Client()
"""Of the database in $DATABASE_URL, which the harness sets."""


@client.task(kind="noop")
def noop(job: Any) -> None:
    """Do nothing: what is left is the queue's own cost."""


@client.task(kind="hang", timeout=0, raise_on_cancel=True)
def hang(job: Any) -> None:
    """Run until somebody ends it."""
    while True:
        time.sleep(3600)

"""The application under measurement: handlers that do next to nothing."""

from __future__ import annotations

from typing import Any

import awa

client = awa.Client()
"""Of the database in $DATABASE_URL, which the harness sets."""


@client.task(kind="noop")
def noop(job: Any) -> None:
    """Do nothing: what is left is the queue's own cost."""

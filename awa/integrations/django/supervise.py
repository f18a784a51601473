"""Run the supervisor of a Django project; what `manage.py awa_supervisor` becomes.

This process never loads the project: the forkserver loads it, and reloads it. The database is that of the
project's settings; a $DATABASE_URL is read by them only.
"""

from __future__ import annotations

import os
from typing import Any

from awa.cli.supervise import command, supervise
from awa.database.dsn import DSN_VARIABLE


def run(**flags: str | None) -> None:
    """Start it."""
    supervise({name: value for name, value in os.environ.items() if name != DSN_VARIABLE}, **flags)


def main(*args: Any, **options: Any) -> Any:
    """The command, as click makes it."""
    return command(run)(*args, **options)


if __name__ == "__main__":
    main(prog_name="manage.py awa_supervisor")

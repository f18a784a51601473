"""Running PostgreSQL's programs as the server's user, with their output in the log."""

import os
import subprocess
from pathlib import Path

from awa.embedded import files
from awa.embedded.account import Account
from awa.embedded.failures import tail


def run(command: list[str], account: Account, log: Path, **environment: str) -> tuple[int, str]:
    """Run a program to its end.

    It gets a session of its own, so that Ctrl-C in a terminal reaches Python and not the server.

    Args:
        environment: variables it gets beside those of this process.

    Returns:
        Its exit status, and what it (and a server it has started) wrote.
    """
    with os.fdopen(files.open_to_append(log, account.uid), "ab") as output:
        before = output.tell()
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",  # the present one may be closed to the server's user
            env=_environment() | environment,
            start_new_session=True,
            check=False,
            **account.switch(),
        )
    return done.returncode, tail(log, before)


def _environment() -> dict[str, str]:
    """Our environment without PostgreSQL's variables; messages in English, because they are read here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}  # without TZ, initdb compares every zone of the system: half a second

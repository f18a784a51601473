"""Python processes for tests which need several, or one that can be killed, or one of another user."""

import os
import pwd
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from awa.embedded.account import Account
from awa.embedded.binaries import VARIABLE, find
from awa.embedded.publish import reachable

ROOT = Path(__file__).parents[2]

# The interpreter itself may lie below /root: a child of another user loads all it needs before it becomes that user.
USES_SERVER = """
    import os, sys
    import psycopg
    from awa import embedded
    if len(sys.argv) > 2:
        os.setgroups([])
        os.setgid(int(sys.argv[3]))
        os.setuid(int(sys.argv[2]))
    server = embedded.start(sys.argv[1])
    print(server.pid, server.dsn, flush=True)
    sys.stdin.readline()
    print(server.stop(), flush=True)
"""


def spawn(script: str, *args: object, **options: Any) -> "subprocess.Popen[str]":
    """Start a script with the project importable; its output can be read line by line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env=environment,
        **options,
    )


def spawn_as(user: pwd.struct_passwd, place: Path) -> "subprocess.Popen[str]":
    """Start a process of root's that becomes another user and uses the server in `place`.

    Its programs are those that this process uses: what is in an environment below /root is closed to that user, who
    would find another PostgreSQL, that of the system, or none.
    """
    account = Account(user.pw_uid, user.pw_gid, user.pw_name)
    programs = reachable(find(), account).directory
    return spawn(USES_SERVER, place, user.pw_uid, user.pw_gid, env={VARIABLE: str(programs)})


def line(child: "subprocess.Popen[str]") -> str:
    """The next line a child prints; its own error if it ends instead."""
    assert child.stdout
    text = child.stdout.readline()
    assert text, f"the child ended: {child.communicate()[1]}"
    return text.strip()


def finish(child: "subprocess.Popen[str]") -> str:
    """Let a child which waits for its input go on to the end; returns the rest of its output."""
    out, err = child.communicate("\n", timeout=60)
    assert child.returncode == 0, err
    return out.strip()


def kill(child: "subprocess.Popen[str]") -> None:
    """SIGKILL a child, and wait until it is gone."""
    child.kill()
    child.communicate()

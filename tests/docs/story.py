"""Runs a page as its reader would: block after block, in one directory, against one database."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import psycopg
import psycopg.conninfo

from awa.cli.supervise import main as awa_supervisor
from tests.docs.blocks import ROOT, Block
from tests.fixtures.waiting import until

SECONDS_MAX = 60
END_SECONDS_MAX = 30
READY = ("supervisor.ready", "Listening at: ")
"""What the programs of the pages say when they are up: awa-supervisor, gunicorn."""
PAGE_DATABASE = "postgresql:///shop"
"""How pages call the database of the reader's application."""
PAGE_ADDRESS = "127.0.0.1:8000"
"""Where its web server listens."""
_STANDINS = Path(__file__).with_name("standins.sh")


class Story:
    """What the blocks of one page share: a directory, an environment, a database, and what runs in the background."""

    def __init__(self, directory: Path, database: str, embedded: str, told: list[Block]) -> None:
        self.directory = directory
        self.database = database
        databases = {
            PAGE_DATABASE: database,
            PAGE_DATABASE.replace(":", "+psycopg:", 1): database.replace(":", "+psycopg:", 1),
            "embedded://": embedded,
        }
        self._replaced = {**databases, PAGE_ADDRESS: f"127.0.0.1:{_free_port()}"}
        self._env = {**_environment(), **_libpq(database)}
        code = "".join(block.text for block in told if block.language in ("python", "bash"))
        if not any(url in code for url in databases):
            self._env["DATABASE_URL"] = database  # else the page says itself which one
        self._background: list[tuple[Block, subprocess.Popen[bytes]]] = []
        self._printed = ""

    def tell(self, block: Block) -> None:
        """Do what a block is there for. Raises AssertionError that names the block."""
        if block.not_run is not None:
            return
        text = re.sub("|".join(map(re.escape, self._replaced)), lambda found: self._value(found[0], block), block.text)
        match block.language, block.word:
            case "python", "":
                self._run(block.where, [sys.executable, "-"], text)
            case "python", name:
                (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
                (self.directory / name).write_text(text)
                if "/" not in name:
                    self._run(block.where, [sys.executable, "-c", f"import {Path(name).stem}"], "")
            case "bash", "":
                self._run(block.where, ["bash", "-c", self._script(text)], "")
            case "bash", "background":
                self._start(block, self._script(text))
            case "sql", "":
                with psycopg.connect(self.database) as connection:
                    connection.execute(text.encode())
            case "ini", _:
                check_unit(block, text)
            case "text", "output":
                assert matches(text, self._printed), f"{block.where}: the block before it printed\n{self._printed}"
            case "text", "":
                pass
            case other:
                raise AssertionError(f"{block.where}: what is a block of {other}?")

    def _value(self, name: str, block: Block) -> str:
        """What stands for a name of the pages here; an address has characters that are a shell's."""
        value = self._replaced[name]
        return shlex.quote(value) if block.language == "bash" else value

    def run_script(self, path: Path) -> None:
        """Run a script of ours in the page's directory. Raises AssertionError with what it printed."""
        self._run(path.name, [sys.executable, "-"], path.read_text())

    def end(self) -> None:
        """End what runs in the background; it must take that well."""
        for block, process in reversed(self._background):
            self._await_ready(block, process)
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise AssertionError(f"{block.where}: did not end when asked to") from None
            log = self._log_of(block).read_text()
            assert process.returncode == 0, f"{block.where}: ended with {process.returncode}\n{log}"

    def _script(self, text: str) -> str:
        """A script that knows the stand-ins, stops at an error, and leaves its environment for the next one."""
        return f"set -eo pipefail\nsource {shlex.quote(str(_STANDINS))}\ntrap 'env -0 >.environment' EXIT\n{text}"

    def _run(self, where: str, command: list[str], text: str) -> None:
        done = subprocess.run(
            command,
            input=text,
            cwd=self.directory,
            env=self._env,
            text=True,
            capture_output=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, f"{where}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        self._printed = done.stdout
        if command[0] == "bash":
            pairs = (self.directory / ".environment").read_bytes().decode().rstrip("\0").split("\0")
            self._env = dict(pair.split("=", 1) for pair in pairs)

    def _start(self, block: Block, text: str) -> None:
        before, _, last = text.rstrip().rpartition("\n")
        script = f"{before}\ntrap - EXIT\nexec {last}"  # exec: the signal that ends it must reach the command itself
        with self._log_of(block).open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.directory,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._background.append((block, process))

    def _await_ready(self, block: Block, process: subprocess.Popen[bytes]) -> None:
        """Wait until a server can be told to end; before that a signal is the end of it."""
        log = self._log_of(block)

        def is_up() -> bool:
            return process.poll() is not None or any(word in log.read_text() for word in READY)

        until(is_up, SECONDS_MAX, f"{block.where} is ready")

    def _log_of(self, block: Block) -> Path:
        return self.directory / f".background-{block.line}.log"


def matches(expected: str, printed: str) -> bool:
    """Whether what was printed is what a page shows, where … stands for anything."""
    pattern = ".*?".join(map(re.escape, " ".join(expected.split()).split("…")))
    return re.fullmatch(pattern, " ".join(printed.split()), re.DOTALL) is not None


def check_unit(block: Block, text: str) -> None:
    """A systemd unit must be one, and its command line must be one that awa-supervisor understands."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    assert {"Unit", "Service", "Install"} <= set(unit.sections()), block.where
    program, *arguments = shlex.split(unit["Service"]["ExecStart"].replace("\\\n", " "))
    assert Path(program).name == "awa-supervisor", block.where
    with click.Context(awa_supervisor, info_name="awa-supervisor") as context:
        awa_supervisor.parse_args(context, arguments)


def _libpq(dsn: str) -> dict[str, str]:
    """The variables by which libpq finds the page's database, for what names none or only its name."""
    names = {"dbname": "PGDATABASE", "host": "PGHOST", "port": "PGPORT", "user": "PGUSER"}
    given = psycopg.conninfo.conninfo_to_dict(dsn)
    return {names[name]: str(value) for name, value in given.items() if name in names}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _environment() -> dict[str, str]:
    """The environment of a reader's shell: nothing of this test run but what it needs to find Awa."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "DOCS_ROOT": str(ROOT),
    }

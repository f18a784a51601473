"""A private Redis that loses nothing it has acknowledged, if this machine has the program: appendfsync always."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 10.0
SETTINGS = {"appendonly": "yes", "appendfsync": "always", "save": "", "port": "0"}


def is_present() -> bool:
    """Return whether there is a redis-server to start."""
    return shutil.which("redis-server") is not None


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Yield the path of the socket of a Redis that keeps its data in `folder`, and is gone afterwards."""
    path = folder / "redis.sock"
    options = [part for name, value in SETTINGS.items() for part in (f"--{name}", value)]
    server = subprocess.Popen(
        ["redis-server", *options, "--dir", str(folder), "--unixsocket", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(path, server)
        yield str(path)
    finally:
        server.terminate()
        server.wait()


def _await(path: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while not _answers(path):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"redis-server did not start within {START_S:g} s (exit code {server.returncode})")
        time.sleep(0.02)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        client.sendall(b"PING\r\n")
        return client.recv(16).startswith(b"+PONG")

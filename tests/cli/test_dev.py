"""`awa dev postgres` runs a server until it is told to stop."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import Run
from tests.fixtures.processes import ROOT
from tests.fixtures.run import places

pytestmark = pytest.mark.processes


@pytest.fixture
def ground() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="awa-ground-", dir=places()[0]))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize(("options", "place"), [(["--port", "auto"], "127.0.0.1"), ([], "host=%2F")])
def test_it_prints_where_it_is_and_stops_on_ctrl_c(ground: Path, options: list[str], place: str) -> None:
    command = [sys.executable, "-m", "awa", "dev", "postgres", "--path", str(ground / "server"), *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        dsn = running.stdout.readline().strip()
        try:
            assert place in dsn
            with psycopg.connect(dsn) as connection:
                assert connection.execute("select 1").fetchone() == (1,)
        finally:
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=30)
        assert (running.returncode, "Traceback" in said) == (0, False)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn)


def test_what_is_wrong_is_said(awa: Run, tmp_path: Path) -> None:
    for port in ("0", "65536", "x", "-1"):
        assert "a number from 1 to 65535, or auto" in awa("dev", "postgres", "--port", port, code=2).stderr
    occupied = tmp_path / "file"
    occupied.write_text("in the way")
    assert awa("dev", "postgres", "--path", occupied, code=2).stderr
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other").write_text("not ours")
    done = awa("dev", "postgres", "--path", tmp_path / "full" / "other" / "below", code=1)
    assert done.stderr.startswith("error: ")

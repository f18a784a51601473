"""Virtual environments of the rivals, made when first needed and kept: `.venv/rivals/`, one a rival."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.harness.rivals.specs import Spec

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv" / "rivals"
TIMEOUT_S = 300.0


class NotAvailable(Exception):
    """A rival cannot take part here, and why."""


def python_of(spec: Spec) -> str:
    """Return the Python that has a contender's packages; installs them the first time."""
    if not spec.requirements:
        return sys.executable
    pins = hashlib.sha256("\n".join((sys.version, *spec.requirements)).encode()).hexdigest()[:10]
    home = HOME / f"{spec.module}-{pins}"
    complete = home / "complete"
    if not complete.exists():
        _make(home, spec)
        complete.touch()
    return str(home / "bin" / "python")


def _make(home: Path, spec: Spec) -> None:
    print(f"  installing {', '.join(spec.requirements)} …", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(home)], spec)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *spec.requirements], spec)


def _run(command: list[str], spec: Spec) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        said = [line for line in error.stderr.splitlines() if line.startswith("ERROR")] or error.stderr.splitlines()
        raise NotAvailable(f"{spec.name} could not be installed: {' '.join(said[-2:])}") from error
    except subprocess.TimeoutExpired as error:
        raise NotAvailable(f"{spec.name} could not be installed within {TIMEOUT_S:g} s") from error

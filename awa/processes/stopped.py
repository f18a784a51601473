"""True if a process is stopped: it lives, and does nothing until it is told to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_STOPPED: Final = {"T": "stopped by a signal", "t": "stopped by a debugger"}


def stopped_by(pid: int) -> str | None:
    """Return in words what has stopped a process; None where it runs, has ended, or the system does not tell."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None
    return _STOPPED.get(state)

"""Turns the output of failing PostgreSQL programs into an error a reader can act on."""

import os
import re
import shutil
from pathlib import Path

from awa.errors import EmbeddedError

TAIL_LINES = 15
TAIL_BYTES = 16_384


def tail(log: Path, start: int = 0) -> str:
    """The last lines of a log, of what was written after the position `start`."""
    with open(log, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(start, file.tell() - TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(line for line in lines if line.strip() and "examine the log" not in line.lower())


def explain(doing: str, place: Path, said: str) -> EmbeddedError:
    """The error for a program that failed while `doing` something in `place`, having `said` what stands in its log."""
    cause = _cause(place, said)
    quoted = "\n".join(f"  {line}" for line in said.splitlines()[-TAIL_LINES:]) or "  (nothing)"
    return EmbeddedError(f"{doing} failed in {place}: {cause}\nPostgreSQL said:\n{quoted}")


def address_in_use(said: str) -> bool:
    """Return whether the server found its port or socket taken."""
    return "Address already in use" in said


def memory_still_in_use(said: str) -> bool:
    """Return whether backends of a killed server have not yet noticed that it is gone."""
    return "pre-existing shared memory block" in said


def _cause(place: Path, said: str) -> str:
    """One sentence: what is wrong and what to do."""
    if "No space left on device" in said or "Check free disk space" in said:  # the hint after a short write
        return _no_space(place, said)
    if address_in_use(said):
        port = re.search(r"already running on port (\d+)", said)
        taken = f"port {port.group(1)}" if port else "its port or socket"
        return f"{taken} is in use. End the program which uses it, or choose another port, or any free one (port=auto)."
    if memory_still_in_use(said):
        return "processes of a server that was killed are still running. End them, or wait until they have ended."
    if "Permission denied" in said:
        return "a permission is missing. Look at the owner and mode of the path below, or choose another directory."
    if match := re.search(r"(unrecognized configuration parameter|invalid value for parameter) \"[^\"]+\".*", said):
        return f"a setting is not accepted ({match.group()}). Correct it and start again."
    return "the reason is in its own words below."


def _no_space(place: Path, said: str) -> str:
    """Return the full file system: that of the directory, or the one for shared memory."""
    if re.search("shared memory segment.*No space left", said):
        return "the file system for shared memory (/dev/shm) is full. Make it larger, or free some of it."
    there = next(directory for directory in (place, *place.parents) if directory.exists())
    free = shutil.disk_usage(there).free // 1_000_000
    fresh = "" if (place / "data").exists() else "A fresh server takes about 60 MB; "
    return (
        f"the disk is full. {fresh}{free} MB are free now on the file system of {place}. "
        "Make some space there, or choose another directory."
    )

"""True if this process has descriptors left to work with, and room for those that it is about to need."""

from __future__ import annotations

import errno
import os
import resource
from typing import Final

SPARE: Final = 16
"""With fewer left than this, a handler that opens a few files at once may fail for want of them."""
SPARE_DESCRIPTORS: Final = 256
"""Descriptors kept for a supervisor's other needs: connections, files of imported modules."""


def are_scarce() -> bool:
    """Return whether this process can hardly open anything more.

    A new descriptor gets the lowest free number, so one that comes near the limit shows that those below are taken.
    """
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    except OSError as error:
        return error.errno == errno.EMFILE  # of this process; a lack of the whole system's is not mended by its end
    os.close(descriptor)
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit != resource.RLIM_INFINITY and descriptor >= limit - SPARE


def make_room(count: int) -> None:
    """Raise this process's limit so that `count` descriptors can be opened besides some others, as far as it may."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_DESCRIPTORS
    if limit == resource.RLIM_INFINITY or limit >= wanted:
        return
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if wanted > limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))

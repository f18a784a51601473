"""Room for descriptors."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

PROGRAM = """
import resource, sys
from awa.processes.descriptors import SPARE_DESCRIPTORS, make_room
count, most = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (300, most))
make_room(count)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS)
"""


@pytest.mark.parametrize(("count", "most", "room"), [(10, 900, 44), (400, 900, 400), (800, 900, 900 - 256)])
def test_the_limit_is_raised_as_far_as_it_may_and_never_lowered(count: int, most: int, room: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(count), str(most)]
    assert int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout) == room

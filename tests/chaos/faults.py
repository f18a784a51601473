"""All kinds of faults, by name. Each is a function that breaks something.

What one breaks for a while it mends itself; a node that ends is started again by the fleet. Each says whom it hit, and
raises `NoTarget` when there was nobody to hit.
"""

from tests.chaos import database, operators, processes, sessions
from tests.chaos.fault import FAULTS

__all__ = ["FAULTS", "database", "operators", "processes", "sessions"]

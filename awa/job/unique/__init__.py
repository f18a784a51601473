"""Uniqueness: which jobs count as the same (`unique_opts`), and the key that says so.

In: `unique_opts`, arguments and a queue. Out: 16 bytes, and the states that hold them.
"""

from awa.job.unique.key import KEY_BYTES, key_for, unique_key
from awa.job.unique.options import STATES_DEFAULT, UniqueOptions, check_begins, check_unique, period_number

__all__ = [
    "KEY_BYTES",
    "STATES_DEFAULT",
    "UniqueOptions",
    "check_begins",
    "check_unique",
    "key_for",
    "period_number",
    "unique_key",
]

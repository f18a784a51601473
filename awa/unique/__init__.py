"""Uniqueness: which jobs count as the same (`unique_opts`), and the key that says so."""

from awa.unique.key import KEY_BYTES, key_for, unique_key
from awa.unique.options import STATES_DEFAULT, UniqueOptions, check_begins, check_unique, period_number

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

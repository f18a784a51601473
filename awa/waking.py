"""Whether an insert wakes idle nodes: what may be said of it, and what holds where nothing is said."""

from __future__ import annotations

import os
from typing import Any, Final

from awa.errors import ValidationError

VARIABLE: Final = "AWA_WAKE"
_MEANINGS: Final = {"": True, "on": True, "off": False}


def check_wake(value: Any) -> bool | None:
    """Return the option `wake`; None: as the client says. Raises ValidationError."""
    if value is None or isinstance(value, bool):
        return value
    raise ValidationError(f"wake is {value!r}; it must be True, False or None")


def wakes_by_default() -> bool:
    """Return what `$AWA_WAKE` says, or True. Raises ValidationError for anything but on and off."""
    value = os.environ.get(VARIABLE, "")
    wakes = _MEANINGS.get(value.strip().lower())
    if wakes is None:
        raise ValidationError(f"the environment has {VARIABLE}={value!r}; it must be on (the default) or off")
    return wakes

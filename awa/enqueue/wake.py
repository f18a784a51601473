"""The default of the option `wake`: what the environment says about waking idle nodes."""

from __future__ import annotations

import os
from typing import Final

from awa.errors import ValidationError

VARIABLE: Final = "AWA_WAKE"
_MEANINGS: Final = {"": True, "on": True, "off": False}


def wakes_by_default() -> bool:
    """Return what `$AWA_WAKE` says, or True. Raises ValidationError for anything but on and off."""
    value = os.environ.get(VARIABLE, "")
    wakes = _MEANINGS.get(value.strip().lower())
    if wakes is None:
        raise ValidationError(f"the environment has {VARIABLE}={value!r}; it must be on (the default) or off")
    return wakes

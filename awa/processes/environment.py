"""The environment variables that begin with AWA_: which there are, and what becomes of one that nothing reads."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from typing import Final

from awa.errors import ValidationError
from awa.text.suggest import hint

PREFIX: Final = "AWA_"
OTHER_VARIABLES: Final = frozenset(
    {"AWA_PG_BIN", "AWA_FLASK_DATABASE_URL", "AWA_DATABASE_URL", "AWA_MAX_CONNECTIONS", "AWA_WAKE"}
)
"""Read, and no settings of a supervisor: the server programs, what a Flask application's configuration may be made
from, and whether inserts wake idle workers."""
_FOREIGN: Final = re.compile(
    r"AWA_TEST_\w+"  # tests of Awa's own, and of applications
    r"|AWA_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""Left alone. Kubernetes gives every container such variables for each service: AWA_WEB_SERVICE_HOST."""

_has_warned = False


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that begins with AWA_ and is read by nothing."""
    found = [name for name in environment if name.startswith(PREFIX)]
    if not found:
        return []
    known = variables()
    return [_sentence(name, known) for name in sorted(found) if name not in known and not _FOREIGN.fullmatch(name)]


def refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """Raise ValidationError if a variable begins with AWA_ and is read by nothing: it is a slip of the pen."""
    if sentences := unknown_variables(environment):
        raise ValidationError("; ".join(sentences))


def warn_of_unknown_variables() -> None:
    """Log a warning for such variables, once a process: a client does not stop a web application for them."""
    global _has_warned
    if not _has_warned:
        _has_warned = True
        for sentence in unknown_variables(os.environ):
            logging.getLogger("awa.client").warning("%s", sentence)


def variables() -> frozenset[str]:
    """Return the variables beginning with AWA_ that something reads."""
    from awa.settings import SETTINGS  # for those who have such variables

    return OTHER_VARIABLES | {setting.env for setting in SETTINGS if setting.env.startswith(PREFIX)}


def _sentence(name: str, known: Iterable[str]) -> str:
    return f"the environment has {name}, which nothing of Awa's reads: unset or rename it; {hint(name, sorted(known))}"

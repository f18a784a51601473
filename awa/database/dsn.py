"""Turning what a user wrote as the address of a database into what libpq understands."""

import importlib
from typing import Final

DSN_VARIABLE: Final = "DATABASE_URL"
"""The environment's word on which database is meant."""

# An edge may not be imported from here, and most processes never need one: what a scheme stands for is loaded by name.
RESOLVERS = {"embedded": "awa.embedded"}


def resolve(dsn: str) -> str:
    """The libpq connection string or URL which a DSN stands for.

    `embedded://` starts or joins an embedded server and keeps it until the process ends. Everything else comes back
    unchanged.

    Raises:
        EmbeddedError: the embedded server cannot be had.
    """
    scheme, separator, _ = dsn.partition("://")
    module = RESOLVERS.get(scheme.lower()) if separator else None
    if module is None:
        return dsn
    resolved: str = importlib.import_module(module).resolve(dsn)
    return resolved

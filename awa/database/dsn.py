"""Turning what a user wrote as the address of a database into what libpq understands."""

from typing import Final

DSN_VARIABLE: Final = "DATABASE_URL"
"""The environment's word on which database is meant."""


def resolve(dsn: str) -> str:
    """The libpq connection string or URL which a DSN stands for.

    `embedded://` starts or joins an embedded server and keeps it until the process ends. Everything else comes back
    unchanged.

    Raises:
        EmbeddedError: the embedded server cannot be had.
    """
    scheme, separator, _ = dsn.partition("://")
    if not separator or scheme.lower() != "embedded":
        return dsn
    from awa.embedded.url import resolve as resolve_embedded  # most processes never need it

    return resolve_embedded(dsn)

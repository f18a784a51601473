"""Reads an application's configuration: `AWA_*` keys, and SQLAlchemy's when they name no database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from awa.errors import ValidationError
from awa.settings import SETTINGS
from awa.text.suggest import hint

NAME: Final = "awa"
"""Of the extension, and of its commands: `app.extensions["awa"]`, `flask awa …`."""
OPTIONS: Final = {"AWA_DATABASE_URL": "database_url", "AWA_MAX_CONNECTIONS": "max_connections"}
"""The client's option by configuration key."""
SUPERVISOR: Final = {setting.env for setting in SETTINGS if setting.name not in ("app", "database_url")}
"""Keys that `flask awa supervisor` heeds."""
_SQLALCHEMY: Final = "SQLALCHEMY_DATABASE_URI"
_POSTGRES: Final = re.compile(r"(postgres(?:ql)?)(?:\+\w+)?://", re.IGNORECASE)


def client_options(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for a client: those of `config`, else `defaults`. Raises ValidationError for an unknown key.

    Where neither names a database, SQLAlchemy's is taken if it is PostgreSQL, and after that the client falls back to
    `$DATABASE_URL`.
    """
    _refuse_unknown(config)
    given = {option: config[key] for key, option in OPTIONS.items() if config.get(key) is not None}
    chosen = {option: value for option, value in defaults.items() if value is not None} | given
    if "database_url" not in chosen and _is_postgres(uri := config.get(_SQLALCHEMY)):
        chosen["database_url"] = uri
    if "database_url" in chosen:
        chosen["database_url"] = without_driver(chosen["database_url"])
    return chosen


def supervisor_variables(config: Mapping[str, Any]) -> dict[str, str]:
    """Return what `config` says for a supervisor, as environment variables. The database is the client's to tell."""
    return {key: _as_text(config[key]) for key in sorted(SUPERVISOR) if config.get(key) is not None}


def without_driver(url: Any) -> Any:
    """Return a database URL as libpq takes it: `postgresql+psycopg://…` and SQLAlchemy's URL objects, too."""
    text = _text_of(url)
    return url if text is None else _POSTGRES.sub(r"\1://", text, count=1)


def _is_postgres(url: Any) -> bool:
    text = _text_of(url)
    return text is not None and _POSTGRES.match(text) is not None


def _text_of(url: Any) -> str | None:
    if isinstance(url, str):
        return url
    render = getattr(url, "render_as_string", None)
    return None if render is None else str(render(hide_password=False))


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    known = OPTIONS.keys() | SUPERVISOR
    for key in sorted(key for key in config if key.startswith("AWA_") and key not in known):
        raise ValidationError(f"the configuration has {key}, which nothing of Awa's reads; {hint(key, sorted(known))}")

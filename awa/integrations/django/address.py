"""Translates an entry of `DATABASES` into libpq's terms, for processes that make connections of their own."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connections
from psycopg import conninfo


def dsn_of(alias: str) -> str:
    """Return the address of a database as Django connects to it now: in a test, that of the test database."""
    wrapper = connections[alias]
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    given = wrapper.get_connection_params()
    kept = {name: value for name, value in given.items() if name in known and value is not None}
    if role := wrapper.settings_dict["OPTIONS"].get("assume_role"):
        kept["options"] = f"{kept.get('options', '')} -c role={_escaped(role)}".strip()
    kept.pop("client_encoding", None)
    return conninfo.make_conninfo("", **kept)


def _escaped(value: Any) -> str:
    """In `options` the server takes a space for the end of a word."""
    return str(value).replace("\\", "\\\\").replace(" ", "\\ ")

"""A connection of the application's for code that waits in an event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from awa.database.adapters.async_connection import require_async_adapter
from awa.database.aio.greenlets import await_


def awaited(given: Any) -> Callable[[bytes, Mapping[str, Any]], list[Any]]:
    """Return what runs a statement over an asynchronous connection of the application's. Raises TypeError for others:
    a synchronous one would hold the event loop up."""
    execute = require_async_adapter(given).execute
    return lambda sql, parameters: await_(execute(sql, parameters))

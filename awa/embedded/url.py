"""`embedded://` wherever a DSN is accepted.

embedded://                       the default server of this user
embedded:///absolute/path         the server of that directory
embedded:///path?port=auto        listening on a free TCP port as well (or on a given one: ?port=5433)
"""

import os
from threading import Lock
from urllib.parse import parse_qsl, unquote, urlsplit

from awa.embedded.server import Server, start
from awa.errors import EmbeddedError

SCHEME = "embedded"

_joined: dict[tuple[int, str | None, int | None], Server] = {}
_guard = Lock()


def resolve(url: str) -> str:
    """The DSN of the server an `embedded://` URL names.

    The server is started or joined, and stays joined until this process ends. A forked child that resolves joins for
    itself.

    Raises:
        EmbeddedError: the URL is malformed, or the server cannot be had.
    """
    path, port = parse(url)
    key = (os.getpid(), path, port)
    with _guard:
        server = _joined.get(key)
        if server is None or not server.is_running():
            _forget(key)
            server = _joined[key] = start(path, port=port)
        return server.dsn


def parse(url: str) -> tuple[str | None, int | None]:
    """The directory (None: the default one) and TCP port (None: none, 0: any) of an `embedded://` URL."""
    parts = urlsplit(url)
    if parts.scheme != SCHEME:
        raise EmbeddedError(f"{url!r} does not begin with embedded://.")
    if parts.netloc:
        raise EmbeddedError(
            f"{url!r} has no absolute path: write three slashes, as in embedded:///{parts.netloc}{parts.path}"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    port = options.pop("port", None)
    if options or parts.fragment:
        unknown = next(iter(options), parts.fragment)
        raise EmbeddedError(f"{url!r} has an unknown option {unknown!r}. The only one is port.")
    path = unquote(parts.path)
    if "\0" in path:
        raise EmbeddedError(f"{url!r} names a path with the character U+0000 (%00), which no directory has.")
    return (path if path not in ("", "/") else None), (None if port is None else _port(url, port))


def _port(url: str, text: str) -> int:
    """A port number, or 0 for `auto`."""
    if text == "auto":
        return 0
    if text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise EmbeddedError(f"{url!r} has the port {text!r}: give a number from 1 to 65535, or auto.")


def _forget(key: tuple[int, str | None, int | None]) -> None:
    """Let go of a server which has gone away under us (killed from outside), or whose entry came from our parent."""
    gone = [known for known in _joined if known == key or known[0] != key[0]]
    for known in gone:
        _joined.pop(known).stop()


def _after_fork() -> None:
    """A lock held by another thread of the parent would stay locked in the child for ever."""
    global _guard
    _guard = Lock()


os.register_at_fork(after_in_child=_after_fork)

"""A web application that inserts one job a request, preloaded: its client has been used before gunicorn forks."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from awa import Client

client = Client()
client.insert({"by": os.getpid(), "when": "preload"}, kind="dict")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    job = client.insert({"by": os.getpid(), "when": "request"}, kind="dict")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {job.id}".encode()]

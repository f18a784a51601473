"""Load the application that `flask` would, in another process: `awa-supervisor` as `flask awa supervisor` starts it."""

from __future__ import annotations

import os
from typing import Final

from flask import Flask
from flask.cli import ScriptInfo

from awa.database.dsn import DSN_VARIABLE
from awa.errors import AppLoadError

LOADER: Final = f"{__name__}:app()"
APP_VARIABLE: Final = "FLASK_APP"
HIDDEN_VARIABLE: Final = "AWA_FLASK_DATABASE_URL"
"""The value of `$DATABASE_URL`: a supervisor would obey it, and here the configuration goes first."""


def app() -> Flask:
    """Return the application named by `$FLASK_APP`, or found where `flask` looks. Raises AppLoadError."""
    if (url := os.environ.pop(HIDDEN_VARIABLE, None)) is not None:
        os.environ[DSN_VARIABLE] = url
    found = ScriptInfo(app_import_path=os.environ.get(APP_VARIABLE)).load_app()
    extension = found.extensions.get("awa")
    if extension is None:
        raise AppLoadError(f"the Flask application {found.name!r} has no Awa; call init_app(app) of one in its factory")
    if not len(extension.client_of(found).registry):
        raise AppLoadError(
            f"the Flask application {found.name!r} has no tasks: decorate a function with the task(...) of its Awa, "
            "and import the module with it where the application is made"
        )
    return found

"""Awa in a Flask application: `Awa(app)`, or `init_app`; its configuration; `flask awa …`."""

from awa.integrations.flask.extension import Awa

__all__ = ["Awa"]

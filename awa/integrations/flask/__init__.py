"""Awa in a Flask application: `Awa(app)`, or `init_app`; its configuration; `flask awa …`.

In: an application and its configuration. Out: an extension with a client for each application.
"""

from awa.integrations.flask.extension import Awa

__all__ = ["Awa"]

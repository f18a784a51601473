"""Every test here has `db`, the connection that looks on and does the leader's work, and names its other sessions."""

from tests.engine.conftest import db

__all__ = ["db"]

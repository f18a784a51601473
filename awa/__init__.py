"""Awa: a Postgres-native background job queue for Python."""

from awa.version import __version__ as __version__

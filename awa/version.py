"""The version of this package, in one place: the build, `awa --version` and the node rows read it here."""

__version__ = "0.1.0"

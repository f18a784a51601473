"""A router of the project under test."""


class NoAwa:
    """Keeps Awa's schema out of every database."""

    def allow_migrate(self, db, app_label, **hints):
        return False if app_label == "awa" else None

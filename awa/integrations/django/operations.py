"""The operation of the app's migration."""

from __future__ import annotations

from typing import Any

from django.db.migrations.operations.base import Operation

from awa.database.schema import chain
from awa.integrations.django.schema import install, is_ours


class InstallSchema(Operation):  # type: ignore[misc]  # Django has no types
    """Installs or upgrades Awa's schema where it is the project's business; elsewhere it does nothing."""

    reversible = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        """There are no models."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Install it, or for `sqlmigrate` say how."""
        if not is_ours(schema_editor.connection.alias):
            return
        if schema_editor.collect_sql:
            for step in chain.migrations():
                schema_editor.execute(step.sql.strip(), params=None)
            return
        install(schema_editor.connection.alias)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Leave the schema and all jobs where they are: who wants to lose them drops the schema awa by hand."""

    def describe(self) -> str:
        """Say what it does."""
        return "Install Awa's schema"

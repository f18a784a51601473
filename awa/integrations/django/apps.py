"""The app "awa"."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules

from awa.integrations.django import client
from awa.integrations.django.checks import check_database, check_settings
from awa.integrations.django.conf import task_modules
from awa.integrations.django.hygiene import begin_worker, clean_connections
from awa.integrations.django.roots import backends
from awa.integrations.django.schema import upgrade_after_migrate


class AwaConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Prepares the project's client: hooks first, then every app's tasks."""

    name = "awa.integrations.django"
    label = "awa"
    verbose_name = "Awa"

    def ready(self) -> None:
        """Runs in every process of the project: a web process, too, has to know which queue a task is for."""
        checks.register(check_settings)
        checks.register(checks.Tags.database)(check_database)
        post_migrate.connect(upgrade_after_migrate, sender=self)
        client.around_jobs(clean_connections)
        client.on_worker_start(begin_worker)
        if backends():
            from awa.integrations.django.running import register

            register(client)
        autodiscover_modules(*task_modules())

"""Installs Awa's schema, so that migrations of other apps can depend on it. Later versions of the schema need no
migration of Django's: each `manage.py migrate` brings the schema up to the release that is installed."""

from django.db import migrations

from awa.integrations.django.operations import InstallSchema


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no types
    initial = True
    dependencies: list[tuple[str, str]] = []  # noqa: RUF012 - as Django wants it
    operations = [InstallSchema()]  # noqa: RUF012

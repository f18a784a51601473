"""The object that `--app` names in a Django project: `awa-supervisor --app awa.integrations.django.app:client`.

Importing this loads the project of $DJANGO_SETTINGS_MODULE with all its tasks.
"""

import django

from awa.integrations.django import client

django.setup()

__all__ = ["client"]

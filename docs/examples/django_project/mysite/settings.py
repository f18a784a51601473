"""Settings. The database is `shop`; where that is, libpq's variables say: PGHOST, PGUSER, PGPORT."""

import os

SECRET_KEY = os.environ.get("SECRET_KEY", "not a secret")
DEBUG = os.environ.get("DEBUG") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
USE_TZ = True
ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "awa.integrations.django",
    "shop",
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("PGDATABASE", "shop"),
        "CONN_MAX_AGE": 60,  # in workers, too: a job need not wait for a new connection
        "ATOMIC_REQUESTS": True,  # what a view inserts, it inserts only if it succeeds
    }
}

# Django's own Tasks framework: part of Django 6.0, before that the package django-tasks.
TASKS = {
    "default": {
        "BACKEND": "awa.integrations.django.backend.AwaBackend",
        "QUEUES": ["default", "email"],
        "OPTIONS": {"max_attempts": 3},
    }
}

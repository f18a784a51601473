"""Settings of the project under test: `$SITE_DSN` is its database, `$SITE` (JSON) is added to what stands here."""

import json
import os

from psycopg.conninfo import conninfo_to_dict

_given = json.loads(os.environ.get("SITE", "{}"))
_dsn = conninfo_to_dict(os.environ["SITE_DSN"])
_names = {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT"}

SECRET_KEY = "a secret of tests"
USE_TZ = _given.pop("USE_TZ", True)
TIME_ZONE = "Pacific/Auckland"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    *_given.pop("APPS", []),
    "awa.integrations.django",
    "tests.django.site.shop",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        **{_names[name]: value for name, value in _dsn.items() if name in _names},
        "OPTIONS": _given.pop("OPTIONS", {}),
    },
    "lite": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
ROOT_URLCONF = "tests.django.site.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
globals().update(_given)

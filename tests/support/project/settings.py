"""Settings of a project in a process of its own; tests describe it in the environment as JSON."""

import json
import os
from pathlib import Path

SECRET_KEY = "only for tests"
USE_TZ = True
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "django_flagsmith_realtime",
    "tests.support.receivers.ReceiversConfig",
    *os.environ.get("TEST_APPS", "").split(),
]
MIDDLEWARE = ["django_flagsmith_realtime.middleware.FlagsmithMiddleware"]
ROOT_URLCONF = "tests.support.project.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "OPTIONS": {"context_processors": ["django_flagsmith_realtime.context_processors.flags"]},
    }
]
CACHES = json.loads(os.environ["TEST_CACHES"])
FLAGSMITH = json.loads(os.environ["TEST_FLAGSMITH"])

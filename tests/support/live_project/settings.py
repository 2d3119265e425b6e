"""Settings of a site with users and sessions that serves open pages and other programs."""

import json
import os

from tests.support.project.settings import *  # noqa: F403

PAGES = os.environ.get("TEST_PAGES", "")  # where a test writes the page of the site, and its scripts
NODE_MODULES = os.environ.get("TEST_NODE_MODULES", "")
DATABASES = {"default": json.loads(os.environ["TEST_DATABASE"])}
MIGRATION_MODULES = dict.fromkeys(("auth", "contenttypes", "sessions"))  # their tables at once
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_flagsmith_realtime",
    *os.environ.get("TEST_APPS", "").split(),
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    *os.environ.get("TEST_MIDDLEWARE", "").split(),
    "django_flagsmith_realtime.middleware.FlagsmithMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [PAGES],
        "OPTIONS": {
            "builtins": ["django_flagsmith_realtime.templatetags.flagsmith"],
            "loaders": ["django.template.loaders.filesystem.Loader"],  # without a cache: tests write the page anew
        },
    }
]
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"  # so that a session reads cache and database
ROOT_URLCONF = "tests.support.live_project.urls"

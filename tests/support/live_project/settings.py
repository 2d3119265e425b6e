"""Settings of a site with users and sessions that serves open pages and other programs."""

import json
import os

from tests.support.project.settings import *  # noqa: F403

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
ROOT_URLCONF = "tests.support.live_project.urls"

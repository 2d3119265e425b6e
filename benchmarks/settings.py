"""A project with this package and its peers, on each of Django's caches."""

from __future__ import annotations

import json
import os

SECRET_KEY = "only for benchmarks"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_flagsmith_realtime",
    "flags",
    "waffle",
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BENCH_DATABASE"], "CONN_MAX_AGE": None}
}
LOCAL = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 10_000}}
DATABASE = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache_table"}
CACHES = {"default": LOCAL, "local memory": LOCAL, "DatabaseCache": DATABASE, **json.loads(os.environ["BENCH_CACHES"])}
ROOT_URLCONF = os.environ.get("BENCH_URLS", "benchmarks.pages")
TEMPLATES = [
    {"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"libraries": {}}},
    {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "OPTIONS": {"extensions": ["django_flagsmith_realtime.jinja2.FlagsmithExtension"]},
    },
]
FLAGSMITH = {"ENVIRONMENT_KEY": "ser.benchmark", **json.loads(os.environ.get("BENCH_FLAGSMITH", "{}"))}
WAFFLE_CACHE_NAME = os.environ.get("BENCH_WAFFLE_CACHE", "default")
FLAGS = {f"FLAG_{number:04}": [{"condition": "boolean", "value": True}] for number in range(100)}

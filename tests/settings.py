"""Settings of the test suite; tests override what they are about."""

from pathlib import Path

SECRET_KEY = "only for tests"
USE_TZ = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # as fast as tests want it
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_flagsmith_realtime",
]
ROOT_URLCONF = "tests.support.project.urls"
STATIC_URL = "/static/"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "cache": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",  # a test that uses it gives it a file
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL", "timeout": 5},
    },
}
MIGRATION_MODULES = dict.fromkeys(("admin", "auth", "contenttypes", "sessions"))  # their tables at once
DATABASE_ROUTERS = ["tests.support.backends.DatabaseCacheRouter"]
FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "FRESHNESS": 0}  # a test sees at once what it has published
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "support/project/templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django_flagsmith_realtime.context_processors.flags",
            ]
        },
    }
]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tests.support.project.authentication.HeaderAuthentication"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}

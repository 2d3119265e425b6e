"""A project as users have it: tests have no key, and can't reach the Redis that holds its flags."""

import os

SECRET_KEY = "only for tests"
USE_TZ = True
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_flagsmith_realtime",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_flagsmith_realtime.middleware.FlagsmithMiddleware",
]
ROOT_URLCONF = "project.urls"
STATIC_URL = "static/"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:1",
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    }
}
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
FLAGSMITH = {
    "ENVIRONMENT_KEY": os.environ.get("FLAGSMITH_ENVIRONMENT_KEY"),
    "IDENTITY": "django_flagsmith_realtime.identity.from_user",
    "DEFAULTS": {"footer": "from DEFAULTS"},
}

"""Settings of the example project; what a project needs for Flagsmith comes last."""

from __future__ import annotations

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = Path(os.environ.get("STATE_DIRECTORY", BASE_DIR / ".demo"))
STATE_DIR.mkdir(exist_ok=True)

SECRET_KEY = os.environ.get("SECRET_KEY", "demo-only-not-a-secret")
DEBUG = False
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]").split(",")
ROOT_URLCONF = "storefront.urls"
STATIC_URL = "/static/"
TIME_ZONE = "UTC"
USE_TZ = True
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"

INSTALLED_APPS = [
    "django.contrib.staticfiles",
    "django_flagsmith_realtime",
    "shop",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_flagsmith_realtime.middleware.FlagsmithMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django_flagsmith_realtime.context_processors.flags",
            ]
        },
    }
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": STATE_DIR / "db.sqlite3",
        "OPTIONS": {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 5,  # seconds
        },
    }
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stdout"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"shop": {"level": "INFO"}, "django_flagsmith_realtime": {"level": "INFO"}},
}

# Flagsmith: the stand-in, unless the environment says otherwise

DATABASE_CACHE = {
    "BACKEND": "django.core.cache.backends.db.DatabaseCache",
    "LOCATION": "flagsmith_cache",
    "OPTIONS": {"MAX_ENTRIES": 10_000},
}
REDIS_CACHE = {
    "BACKEND": "django.core.cache.backends.redis.RedisCache",
    "LOCATION": os.environ.get("REDIS_URL", ""),
    "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},  # seconds
}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "flagsmith": REDIS_CACHE if os.environ.get("REDIS_URL") else DATABASE_CACHE,
}

FLAGSMITH = {
    "ENVIRONMENT_KEY": os.environ.get("FLAGSMITH_ENVIRONMENT_KEY", "ser.demo-only-not-a-secret"),
    "API_URL": os.environ.get("FLAGSMITH_API_URL", "http://127.0.0.1:8001/api/v1/"),
    "REALTIME_URL": os.environ.get("FLAGSMITH_REALTIME_URL", "http://127.0.0.1:8001/") or None,
    "WEBHOOK_SECRET": os.environ.get("FLAGSMITH_WEBHOOK_SECRET") or None,
    "REALTIME_TOKEN": os.environ.get("FLAGSMITH_REALTIME_TOKEN") or None,
    "FALLBACK_POLL_INTERVAL": int(os.environ.get("FLAGSMITH_FALLBACK_POLL_INTERVAL", "60")),
    "CACHE": "flagsmith",
    "IDENTITY": "shop.customers.identify",
    "DEFAULTS": {"max_cart_items": 10, "reviews": True, "theme_colour": "#0b7285"},
}
FLAGS_PAGE = os.environ.get("FLAGS_PAGE", "http://127.0.0.1:8001/")  # the link "Change a flag"

# Celery: its workers listen (storefront/celery.py); its beat refreshes the flags where no real time is to be had

CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/1")
CELERY_TASK_IGNORE_RESULT = True
CELERY_BEAT_SCHEDULE = {
    "flagsmith": {"task": "django_flagsmith_realtime.tasks.refresh_flags", "schedule": 60, "options": {"expires": 60}},
}

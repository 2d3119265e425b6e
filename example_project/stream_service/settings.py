"""A site that is the stream service of a self-hosted Flagsmith, for all of its environments; the whole of it.

REALTIME_TOKEN=… DJANGO_SETTINGS_MODULE=settings uvicorn --factory django.core.asgi:get_asgi_application
"""

import os

from django.core.management.utils import get_random_secret_key
from django.urls import include, path

SECRET_KEY = get_random_secret_key()  # required by Django, and signs nothing here
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")
USE_TZ = True
INSTALLED_APPS = ["django_flagsmith_realtime"]
ROOT_URLCONF = __name__
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"),
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    }
}
FLAGSMITH = {"REALTIME_TOKEN": os.environ["REALTIME_TOKEN"]}
SILENCED_SYSTEM_CHECKS = ["flagsmith.W001"]  # this site reads no flags, so that it needs no ENVIRONMENT_KEY

urlpatterns = [
    path("", include("django_flagsmith_realtime.urls")),
    path("", include("django_flagsmith_realtime.live.urls")),
]

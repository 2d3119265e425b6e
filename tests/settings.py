"""Settings of the test suite; tests override what they are about."""

SECRET_KEY = "only for tests"
USE_TZ = True
INSTALLED_APPS = ["django_flagsmith_realtime"]
ROOT_URLCONF = "tests.urls"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests"}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"context_processors": ["django_flagsmith_realtime.context_processors.flags"]},
    }
]

"""The settings with django-debug-toolbar: `manage.py demo --settings storefront.toolbar`."""

from debug_toolbar.settings import PANELS_DEFAULTS

from .settings import *  # noqa: F403 - all but what follows
from .settings import CACHES, FLAGS_PAGE, FLAGSMITH, INSTALLED_APPS, MIDDLEWARE, STATE_DIR

DEBUG = True
INTERNAL_IPS = ["127.0.0.1"]
ROOT_URLCONF = "storefront.toolbar_urls"
INSTALLED_APPS = [*INSTALLED_APPS, "debug_toolbar"]
MIDDLEWARE = ["debug_toolbar.middleware.DebugToolbarMiddleware", *MIDDLEWARE]
CACHES = {
    **CACHES,
    "toolbar": {  # the toolbar's store blocks, which under ASGI a database cache refuses
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": STATE_DIR / "toolbar",
    },
}
FLAGSMITH = {**FLAGSMITH, "DASHBOARD_URL": FLAGS_PAGE}  # the panel links there
DEBUG_TOOLBAR_PANELS = ["django_flagsmith_realtime.panels.FlagsmithPanel", *PANELS_DEFAULTS]
DEBUG_TOOLBAR_CONFIG = {
    "SHOW_TOOLBAR_CALLBACK": lambda request: request.path != "/snapshot/",  # often requested
    "TOOLBAR_STORE_CLASS": "debug_toolbar.store.CacheStore",  # two processes serve the shop
    "CACHE_BACKEND": "toolbar",
}

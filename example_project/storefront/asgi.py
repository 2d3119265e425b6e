"""The ASGI application of the example project."""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "storefront.settings")
application = ASGIStaticFilesHandler(get_asgi_application())  # a demo has no web server in front

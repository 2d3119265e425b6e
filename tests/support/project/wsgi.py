"""An application that reads a flag before its server forks."""

from django.core.wsgi import get_wsgi_application

from django_flagsmith_realtime import get_flags

application = get_wsgi_application()
get_flags().is_feature_enabled("new_checkout")

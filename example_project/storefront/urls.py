"""The URLs of the example project."""

from django.contrib.staticfiles.views import serve
from django.urls import include, path

urlpatterns = [
    path("", include("shop.urls")),
    path("flagsmith/", include("django_flagsmith_realtime.urls")),
    path("static/<path:path>", serve, {"insecure": True}),  # a demo has no web server in front
]

"""The URLs of the example project."""

from django.urls import include, path

urlpatterns = [
    path("", include("shop.urls")),
    path("flagsmith/", include("django_flagsmith_realtime.urls")),
    path("flagsmith/", include("django_flagsmith_realtime.live.urls")),
]

"""`include("django_flagsmith_realtime.urls")`."""

from __future__ import annotations

from django.urls import path, re_path

from . import views

urlpatterns = [
    path("health/", views.health, name="flagsmith-health"),
    path("webhook/", views.webhook, name="flagsmith-webhook"),
    path("webhook", views.webhook),  # as it may be entered at Flagsmith, which would follow a redirect by a GET
    # Flagsmith's API puts "/sse/…" behind the address that it is given, which may end with a slash. In brackets, since
    # Django's check urls.W002 warns of a pattern that begins with one.
    re_path(r"^(?:/?)sse/environments/([^/]+)/queue-change$", views.queue_change, name="flagsmith-queue-change"),
]

"""`include("django_flagsmith_realtime.live.urls")`."""

from __future__ import annotations

from django.urls import path, re_path

from . import flagsmith_api, ofrep, stream

urlpatterns = [
    # Flagsmith's SDKs put "/sse/…" behind the address that they are given, which may end with a slash: as in `..urls`.
    re_path(r"^(?:/?)sse/environments/([^/]+)/stream$", stream.flagsmith_stream, name="flagsmith-stream"),
    path("api/v1/flags/", flagsmith_api.flags, name="flagsmith-api-flags"),
    path("api/v1/identities/", flagsmith_api.identities, name="flagsmith-api-identities"),
    path("api/v1/analytics/flags/", flagsmith_api.analytics, name="flagsmith-api-analytics"),
    path("ofrep/v1/evaluate/flags", ofrep.evaluate_all, name="flagsmith-ofrep-flags"),
    path("ofrep/v1/evaluate/flags/<path:key>", ofrep.evaluate, name="flagsmith-ofrep-flag"),
    path("ofrep/v1/stream", stream.ofrep_stream, name="flagsmith-ofrep-stream"),
]

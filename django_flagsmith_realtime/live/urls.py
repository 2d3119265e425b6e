"""`include("django_flagsmith_realtime.live.urls")`."""

from __future__ import annotations

from django.urls import path

from . import stream

urlpatterns = [
    # Flagsmith's SDKs put this behind the address of the stream service that they are given.
    path("sse/environments/<str:key>/stream", stream.flagsmith_stream, name="flagsmith-stream"),
    path("ofrep/v1/stream", stream.ofrep_stream, name="flagsmith-ofrep-stream"),
]

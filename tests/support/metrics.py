"""A project's own metrics, with the package's beside them, as django-prometheus shows both."""

from __future__ import annotations

import os

from django.apps import AppConfig
from django.http import HttpRequest, HttpResponse
from prometheus_client import REGISTRY, generate_latest


class MetricsConfig(AppConfig):
    name = "tests.support.metrics"

    def ready(self) -> None:
        from django_flagsmith_realtime.prometheus import FlagsmithCollector

        REGISTRY.register(FlagsmithCollector())


def all_metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{generate_latest().decode()}# {os.getpid()}\n")

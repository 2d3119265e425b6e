"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class FlagsmithRealtimeConfig(AppConfig):
    """Registers the system checks."""

    name = "django_flagsmith_realtime"
    verbose_name = "Flagsmith"

    def ready(self) -> None:
        from . import checks  # noqa: F401 - registers them

"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class FlagsmithRealtimeConfig(AppConfig):
    """Registers the system checks, and starts the listener where a process that serves requests is to run it."""

    name = "django_flagsmith_realtime"
    verbose_name = "Flagsmith"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401 - registers them
        from .listener import inline

        inline.start_with_first_request()

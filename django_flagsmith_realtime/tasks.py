"""Celery tasks."""

from __future__ import annotations

from celery import shared_task

from . import celery  # noqa: F401 - gives each task its scope
from .conf import get_config
from .exceptions import FlagsmithError
from .listener.on_demand import refresh_now


@shared_task(name="django_flagsmith_realtime.tasks.refresh_flags", ignore_result=True, throws=(FlagsmithError,))
def refresh_flags() -> None:
    """Fetch the flags and publish what is new, or have the listener that leads do so; run it as often as you like.

    It raises `FlagsmithError`, which the worker logs in one line, while Flagsmith or the cache fails.
    """
    refresh_now(get_config())

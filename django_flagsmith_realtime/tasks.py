"""Celery tasks."""

from __future__ import annotations

from celery import shared_task

from . import celery  # noqa: F401 - gives each task its scope
from .conf import get_config
from .exceptions import FlagsmithError
from .listener.on_demand import refresh_now


@shared_task(name="django_flagsmith_realtime.tasks.refresh_flags", ignore_result=True, throws=(FlagsmithError,))
def refresh_flags() -> None:
    """Fetch the flags and publish what is new, or ask the listener that leads to do so.

    It raises `FlagsmithError` while Flagsmith or the cache fails; a worker logs that in one line.
    """
    refresh_now(get_config())

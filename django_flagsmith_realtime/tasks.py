"""The task that fetches the flags, for Celery; without Celery it is a plain function."""

from __future__ import annotations

from importlib.util import find_spec

from .conf import get_config
from .exceptions import FlagsmithError
from .listener.on_demand import refresh_now


def refresh_flags() -> None:
    """Fetch the flags and publish what is new, or ask the listener that leads to do so.

    It raises `FlagsmithError` while Flagsmith or the cache fails; a Celery worker logs that in one line.
    """
    refresh_now(get_config())


if find_spec("celery"):  # Huey, Dramatiq and Procrastinate import each app's `tasks`, also where there is no Celery
    from celery import shared_task

    from . import celery  # noqa: F401 - gives each task its scope

    refresh_flags = shared_task(
        name="django_flagsmith_realtime.tasks.refresh_flags", ignore_result=True, throws=(FlagsmithError,)
    )(refresh_flags)

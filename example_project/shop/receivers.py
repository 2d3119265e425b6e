"""Receivers of the signals: each logs a line."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from django.dispatch import receiver
from flagsmith.models import Flag

from django_flagsmith_realtime.signals import flag_changed, flags_updated, snapshot_loaded

logger = logging.getLogger(__name__)


@receiver(flags_updated)
def log_update(changes: Mapping[str, object], snapshot: Any, **kwargs: object) -> None:
    """Log which flags a new version changes, in the process that published it."""
    logger.info("flags_updated: version %s, %d changed", snapshot.version[:8], len(changes))


@receiver(flag_changed)
def log_change(name: str, old: Flag | None, new: Flag | None, **kwargs: object) -> None:
    """Log one flag's change, in the process that published it."""
    logger.info("flag_changed: %s, %s → %s", name, describe(old), describe(new))


@receiver(snapshot_loaded)
def log_snapshot(snapshot: Any, **kwargs: object) -> None:
    """Log that this process now reads another version."""
    logger.info("process %d reads version %s", os.getpid(), snapshot.version[:8])


def describe(flag: Flag | None) -> str:
    """Return a flag's state and value as text."""
    if flag is None:
        return "absent"
    state = "on" if flag.enabled else "off"
    return state if flag.value is None else f"{state} {flag.value!r}"

"""The package's Django signals.

`flags_updated(sender, changes, snapshot, previous, updated_at)` and, after it, one
`flag_changed(sender, name, old, new)` per changed flag are sent by the process that published the snapshot,
once it is stored; `snapshot_loaded(sender, snapshot, previous)` by every process that starts using one.
`sender` is `Snapshot`.
"""

from __future__ import annotations

import logging
from typing import Any

from django.dispatch import Signal

logger = logging.getLogger(__name__)


class RobustSignal(Signal):
    """A signal that logs whatever receiver fails, also one without a `__qualname__` (a partial, an object)."""

    def _log_robust_failure(self, receiver: Any, error: Exception) -> None:
        logger.error("A receiver of Flagsmith signals failed: %r", receiver, exc_info=error)


flags_updated = RobustSignal()
flag_changed = RobustSignal()
snapshot_loaded = RobustSignal()

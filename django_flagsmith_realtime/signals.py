"""The package's Django signals.

`flags_updated(sender, changes, snapshot, previous, updated_at, source)` and, after it, one
`flag_changed(sender, name, old, new)` per changed flag are sent by the process that published the snapshot,
`FRESHNESS` seconds after it was stored: no process trusts an older one any more. `source` announced the change:
"stream", "webhook" or "queue-change"; None where nobody did.
`snapshot_loaded(sender, snapshot, previous)` is sent by every process that starts to use a snapshot.
Their `sender` is `Snapshot`.

`listener_became_leader(sender, host, pid)`, `stream_connected(sender, outage)` and `stream_disconnected(sender, error)`
are sent by the process that listens; their `sender` is `Leader`. Flagsmith ends each stream twice a minute: that sends
no signal. `outage` is the seconds since `stream_disconnected`, None for the first connection, and `error` is None where
the stream ended by itself too soon.
"""

from __future__ import annotations

import logging
from typing import Any

from django.dispatch import Signal

from .compat import SignalOfAnyReceiver

logger = logging.getLogger(__name__)


class RobustSignal(SignalOfAnyReceiver):
    """A signal whose `send_robust` returns whatever its receivers raise."""

    def send_robust(self, sender: Any, **named: Any) -> list[tuple[Any, Any]]:
        try:
            return super().send_robust(sender, **named)
        except KeyboardInterrupt:
            raise
        except BaseException:  # the next listener would send the same signal again, and end as well, for ever
            logger.exception("A receiver of Flagsmith signals tried to end the listener")
            return []

    def log_failure(self, receiver: Any, error: Exception) -> None:
        logger.error("A receiver of Flagsmith signals failed: %r", receiver, exc_info=error)


flags_updated: Signal = RobustSignal()
flag_changed: Signal = RobustSignal()
snapshot_loaded: Signal = RobustSignal()

listener_became_leader: Signal = RobustSignal()
stream_connected: Signal = RobustSignal()
stream_disconnected: Signal = RobustSignal()

"""How often the same error is logged: one in code that every request runs fails with each of them."""

from __future__ import annotations

import time

LOG_SECONDS = 60.0  # between two reports of the same kind

_logged: dict[object, float] = {}  # when each kind was last logged


def may_log(kind: object) -> bool:
    """Return whether an error of this kind was not logged within the last minute; then it is taken to be logged now."""
    now = time.monotonic()
    if 0 <= now - _logged.get(kind, -LOG_SECONDS) < LOG_SECONDS:  # negative: tests put clocks back
        return False
    _logged[kind] = now
    return True

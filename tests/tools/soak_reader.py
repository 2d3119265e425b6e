"""A process that reads flags as a web process does, and reports what it saw: one of the soak's readers.

Prints a line of JSON every 0.1 s: what was counted since the line before, and the value that is held.
"""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import asdict, dataclass, field
from typing import Any

import django
from django.http import HttpRequest

FLAG = "max_cart_items"
PAUSE = 0.004  # seconds between requests
REPORT_EVERY = 0.1  # seconds
IDENTITY_EVERY = 10  # requests
KEPT_ERRORS = 3


@dataclass
class Counts:
    """What happened since the last report."""

    reads: int = 0
    empty: int = 0  # reads before there were flags
    errors: int = 0
    back: int = 0  # reads of a lower value than before, or of none
    torn: int = 0  # an identity's read that is not of the same snapshot as the environment's
    slowest: float = 0.0  # seconds
    values: list[Any] = field(default_factory=list)  # each that is not the one before
    told: list[str] = field(default_factory=list)


class Watcher:
    """Reads, and keeps what was read against what it should be."""

    def __init__(self) -> None:
        from django_flagsmith_realtime import Identity

        self.counts = Counts()
        self._identity = Identity("user_42", {"plan": "gold"})
        self._requests = 0
        self._held: int | None = None

    def request(self) -> None:
        """Read as a request does that reads flags, and as code outside of one does."""
        from django_flagsmith_realtime import get_flags

        self._requests += 1
        request = HttpRequest()
        value = self._read(lambda: get_flags(request).get_feature_value(FLAG))
        if self._requests % IDENTITY_EVERY == 0:
            seen = self._read(lambda: get_flags(request, identity=self._identity).get_feature_value(FLAG))
            self.counts.torn += seen != value
            self._read(lambda: get_flags().get_feature_value(FLAG))

    def _read(self, read: Any) -> Any:
        began = time.monotonic()
        try:
            value = read()
        except Exception:
            self.counts.errors += 1
            self._tell(traceback.format_exc())
            return None
        finally:
            self.counts.reads += 1
            self.counts.slowest = max(self.counts.slowest, time.monotonic() - began)
        self._compare(value)
        return value

    def _compare(self, value: Any) -> None:
        if value is None and self._held is None:
            self.counts.empty += 1
        elif value != self._held:
            if value is None or (self._held is not None and value < self._held):
                self.counts.back += 1
                self._tell(f"{self._held} became {value}")
            self.counts.values.append(value)
            self._held = value

    def _tell(self, what: str) -> None:
        if len(self.counts.told) < KEPT_ERRORS:
            self.counts.told.append(what)

    def report(self) -> str:
        """Return the line for what was counted, and begin to count anew."""
        counts, self.counts = self.counts, Counts()
        return json.dumps({**asdict(counts), "held": self._held})


def main() -> None:
    django.setup()
    watcher = Watcher()
    report_at = time.monotonic()
    while True:
        watcher.request()
        if time.monotonic() >= report_at or watcher.counts.told:
            print(watcher.report(), flush=True)
            report_at = time.monotonic() + REPORT_EVERY
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()

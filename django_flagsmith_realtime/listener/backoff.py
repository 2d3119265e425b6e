"""Waiting longer after each failure, with jitter, so that many clients don't return at the same moment."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Backoff:
    """The waits after failures in a row; an immutable value, so going back to the first is a reset.

    Each wait doubles up to `limit` seconds and is drawn between `least` times that and all of it.
    Failures after `patience` seconds of waiting (None: never) double on up to `long_limit`.
    """

    first: float
    limit: float
    least: float = 0.0
    patience: float | None = None
    long_limit: float = 60.0
    failures: int = 0
    waited: float = 0.0

    def next(self, *, floor: float = 0.0, draw: Callable[[], float] = random.random) -> tuple[float, Backoff]:
        """Return the seconds to wait, at least `floor`, and the state after that."""
        patient = self.patience is None or self.waited < self.patience
        ceiling = min(self.first * 2 ** min(self.failures, 32), self.limit if patient else self.long_limit)
        delay = max(ceiling * (self.least + (1 - self.least) * draw()), floor)
        return delay, replace(self, failures=self.failures + 1, waited=self.waited + delay)


# After a clean end of a stream that lived: soon, but not in the instant in which all others do.
RENEWAL = Backoff(first=0.5, limit=0.5)
# Polls go on meanwhile, so that 10 s are soon enough, and a minute once the first one has passed.
STREAM = Backoff(first=1.0, limit=10.0, patience=60.0)
# An API that failed once mostly answers the next time. After an outage, flags are at most 30 s behind.
FETCH = Backoff(first=0.25, limit=30.0, least=0.5)

"""Whether a leader that hears nothing of Flagsmith should let another process try: its host may be cut off. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..exceptions import FlagsmithError, TimedOut, Unreachable

FIRST_PATIENCE = 2.0  # seconds; twice as long each time that another fared no better
LAST_PATIENCE = 300.0


@dataclass(frozen=True)
class Failover:
    """What a leader knows of its way to Flagsmith; `answers` of the API since the stream was lost, None: not asked."""

    has_stream: bool = False
    answers: bool | None = None
    cut_off_since: float | None = None
    patience: float = FIRST_PATIENCE

    def connect(self) -> Failover:
        """Note that the stream is open."""
        return Failover(has_stream=True)

    def lose_stream(self, now: float, error: FlagsmithError | None) -> Failover:
        """Note that the stream ended, or did not open."""
        answers = None if self.has_stream else self.answers
        return replace(self, has_stream=False, answers=answers)._doubt(now, error)

    def reach(self) -> Failover:
        """Note that the API answered."""
        return replace(self, answers=True, cut_off_since=None, patience=FIRST_PATIENCE)

    def fail(self, now: float, error: FlagsmithError) -> Failover:
        """Note that a request failed."""
        return replace(self, answers=False)._doubt(now, error)

    @property
    def is_in_doubt(self) -> bool:
        """Whether the API should be asked: the stream is gone, which may be the stream's fault alone."""
        return self.cut_off_since is not None and self.answers is None

    def is_hopeless(self, now: float) -> bool:
        """Tell whether to let another process try."""
        return self.cut_off_since is not None and now - self.cut_off_since >= self.patience

    def give_way(self) -> Failover:
        """Return what is known at the next try."""
        return Failover(patience=min(self.patience * 2, LAST_PATIENCE))

    def _doubt(self, now: float, error: FlagsmithError | None) -> Failover:
        is_cut_off = isinstance(error, (TimedOut, Unreachable))
        if self.has_stream or self.answers or not is_cut_off or self.cut_off_since is not None:
            return self
        return replace(self, cut_off_since=now)

"""When a leader that can't reach Flagsmith lets another process try, as its own host may be cut off. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..exceptions import FlagsmithError, TimedOut, Unreachable

# To notice a broken connection took up to 8 s (http.KEEP_ALIVE). After 2 s more, the stream was tried again once or
# twice. Where the other processes fare no better, Flagsmith itself is away: each try waits twice as long as the one
# before, up to 5 minutes.
FIRST_PATIENCE = 2.0  # seconds
LAST_PATIENCE = 300.0


@dataclass(frozen=True)
class Failover:
    """What a leader knows of its way to Flagsmith.

    `api_answers` is what the API did since the stream was lost, None where it was not asked. `cut_off_since` is when
    the first attempt failed without an answer: a refusal (403) would be the same on every host.
    """

    has_stream: bool = False
    api_answers: bool | None = None
    cut_off_since: float | None = None
    patience: float = FIRST_PATIENCE

    def connect(self) -> Failover:
        return Failover(has_stream=True)

    def disconnect(self, now: float, error: FlagsmithError | None) -> Failover:
        api_answers = None if self.has_stream else self.api_answers
        return replace(self, has_stream=False, api_answers=api_answers)._note_error(now, error)

    def answer(self) -> Failover:
        return replace(self, api_answers=True, cut_off_since=None, patience=FIRST_PATIENCE)

    def fail(self, now: float, error: FlagsmithError) -> Failover:
        return replace(self, api_answers=False)._note_error(now, error)

    def _note_error(self, now: float, error: FlagsmithError | None) -> Failover:
        is_cut_off = isinstance(error, (TimedOut, Unreachable))
        if self.has_stream or self.api_answers or not is_cut_off or self.cut_off_since is not None:
            return self
        return replace(self, cut_off_since=now)

    @property
    def should_ask_api(self) -> bool:
        """Whether only the stream is known to be out of reach, which may be the fault of the stream service alone."""
        return self.cut_off_since is not None and self.api_answers is None

    def should_give_way(self, now: float) -> bool:
        return self.cut_off_since is not None and now - self.cut_off_since >= self.patience

    def give_way(self) -> Failover:
        """Return what is known when this process leads again."""
        return Failover(patience=min(self.patience * 2, LAST_PATIENCE))

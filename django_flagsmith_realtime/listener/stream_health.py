"""How far the stream can be relied on, and so how often to poll. Pure, like `schedule`, whose part it is."""

from __future__ import annotations

GAP_SECONDS = 2.0  # a stream that was away for longer may have missed something
NEVER = float("inf")


class StreamHealth:
    """What is known of the stream; the intervals are seconds between polls with a healthy stream, and without."""

    def __init__(self, *, poll_interval: float, fallback_poll_interval: float, now: float) -> None:
        self._poll_interval = poll_interval or NEVER
        self._fallback_interval = min(fallback_poll_interval or NEVER, self._poll_interval)
        self._away_since: float | None = now  # without an open stream
        self._clean_end = True
        self._is_off = False  # the project's real-time updates, as the document says
        self._has_heard = False  # an event, ever
        self._has_listened = False  # since the last body, without a gap
        self.was_listening = False  # a change in the last body should have been announced
        self.is_silent = False  # the stream, which said nothing of a change

    def connect(self, now: float, fetched_at: float) -> bool:
        """Note that the stream is open; tell whether something may have been missed since the last request."""
        away_since, self._away_since = self._away_since, None
        if away_since is None:
            return False
        unseen_since = max(away_since, fetched_at)
        broke = not self._clean_end and unseen_since == away_since
        missed = broke or now - unseen_since > GAP_SECONDS
        self._has_listened = self._has_listened and not missed
        return missed

    def disconnect(self, now: float, *, clean: bool) -> None:
        """Note that the stream is not open."""
        if self._away_since is None:
            self._away_since = now
            self._clean_end = clean

    def hear(self) -> None:
        """Note that an event came."""
        self._has_heard, self.is_silent = True, False

    def take_body(self, *, realtime_enabled: bool) -> None:
        """Note what a body says of real time, and that the next change after it should be announced."""
        self._is_off = not realtime_enabled
        self.was_listening = self._has_listened and not self._has_heard
        self._has_listened = self._away_since is None

    @property
    def is_telling(self) -> bool:
        """Whether a change now would be announced."""
        return self._away_since is None and not self._is_deaf

    @property
    def _is_deaf(self) -> bool:
        return self._is_off or self.is_silent

    def poll_at(self, fetched_at: float) -> float:
        """Return when the next poll is due after a request."""
        if self._away_since is not None:
            return max(fetched_at, self._away_since) + self._fallback_interval
        return fetched_at + (self._fallback_interval if self._is_deaf else self._poll_interval)

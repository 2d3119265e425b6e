"""Whether Flagsmith's announcements can be relied on, and so how often to poll beside them. Pure; a part of `schedule`.

A stream works while it is open. Of queue-change, which has no connection, it is known that it worked the last time:
until a poll finds a change that nobody announced.
"""

from __future__ import annotations

from ..storage.announcements import QUEUE_CHANGE, STREAM

# Flagsmith ends a stream every 30 s and we are back within one; its service asks for news once a second. What
# happened in a gap of up to this long is announced on the new connection.
GAP_SECONDS = 2.0
NEVER = float("inf")

REALTIME_OFF = "Flagsmith says that the project's real-time updates are off."
MISSED_CHANGE = "A change came without an event: the project's real-time updates seem to be off."


class StreamHealth:
    """What is known of the stream and of queue-change.

    The intervals are seconds between polls: while one of the two works, and else.
    """

    def __init__(self, *, poll_interval: float, fallback_poll_interval: float, now: float) -> None:
        self._poll_interval = poll_interval or NEVER
        self._fallback_interval = min(fallback_poll_interval or NEVER, self._poll_interval)
        self._away_since: float | None = now  # without an open stream
        self._ended_cleanly = True
        self._is_off = False  # the project's real-time updates, as the document says
        self._has_announced = False  # anything, ever
        self._was_open = False  # since the last document, without a gap
        self._should_have_announced = False  # what the last document changed
        self._missed_change = False
        self._queue_change_works = False

    def connect(self, now: float, asked_at: float) -> bool:
        """Note that the stream is open; return whether something may have been missed since the last fetch began."""
        away_since, self._away_since = self._away_since, None
        if away_since is None:
            return False
        unseen_since = max(away_since, asked_at)
        broke = not self._ended_cleanly and unseen_since == away_since
        may_have_missed = broke or now - unseen_since > GAP_SECONDS
        self._was_open = self._was_open and not may_have_missed
        return may_have_missed

    def disconnect(self, now: float, *, clean: bool) -> None:
        if self._away_since is None:
            self._away_since = now
            self._ended_cleanly = clean

    def note_announcement(self, source: str) -> None:
        if source == STREAM:
            self._has_announced, self._missed_change = True, False
        elif source == QUEUE_CHANGE:
            self._queue_change_works = True

    def note_document(self, *, realtime_enabled: bool) -> None:
        """Note what a document says of real time; the next change after it should be announced."""
        self._is_off = not realtime_enabled
        self._should_have_announced = self._was_open and not self._has_announced
        self._was_open = self._away_since is None

    def note_unannounced_change(self) -> None:
        """Note that the last document changed the flags, and nobody had announced it."""
        self._queue_change_works = False
        self._missed_change = self._missed_change or self._should_have_announced

    @property
    def doubt(self) -> str | None:
        """Why the stream, also while it is open, would not announce a change; None where it would."""
        return REALTIME_OFF if self._is_off else MISSED_CHANGE if self._missed_change else None

    @property
    def is_reliable(self) -> bool:
        """Whether the stream would announce a change now."""
        return self._away_since is None and self.doubt is None

    @property
    def announces_times(self) -> bool:
        """Whether a change now would be announced with its time."""
        return self.is_reliable or self._queue_change_works

    def poll_at(self, fetched_at: float) -> float:
        if self.announces_times:
            return fetched_at + self._poll_interval
        return max(fetched_at, self._away_since or fetched_at) + self._fallback_interval

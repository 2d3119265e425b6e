"""What Flagsmith announces, and how it waits in the cache until the leader reads it."""

from __future__ import annotations

import secrets
from time import time_ns
from typing import NamedTuple

STREAM, WEBHOOK, QUEUE_CHANGE = "stream", "webhook", "queue-change"

KEPT = 64  # announcements: as many as a leader remembers of times; a key of 4 kB
KEPT_SECONDS = 600  # a leader reads them within 0.2 s; one that begins to lead later fetches anyway


class Announcement(NamedTuple):
    """Flagsmith says by `source` that something changed; times are microseconds.

    `time` is Flagsmith's own time of the change, where it came along. `signed_at` is that of a webhook, which is only
    near it. `received_at` is when a process left it in the cache, and `token` tells it from others there.
    """

    time: int | None = None
    source: str = STREAM
    signed_at: int | None = None
    received_at: int | None = None
    token: str = ""


def received_now(source: str, *, time: int | None = None, signed_at: int | None = None) -> Announcement:
    """Return an announcement that this process has just received."""
    return Announcement(time, source, signed_at, time_ns() // 1_000, secrets.token_hex(8))


def parse_announcements(plain: object) -> tuple[Announcement, ...]:
    """Return the announcements that were stored as lists, the oldest first, without what is no announcement."""
    found = []
    for item in plain if isinstance(plain, (list, tuple)) else ():
        match item:
            case [(int() | None) as time, str(source), (int() | None) as signed_at, int(received_at), str(token)]:
                found.append(Announcement(time, source, signed_at, received_at, token))
    return tuple(found)

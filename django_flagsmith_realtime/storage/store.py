"""The published snapshot in Django's cache, and what the processes tell each other through it.

Two keys make a snapshot: a small `head`, and the `payload` of its sequence, which is written first and never changed.
So a reader that sees a head finds the payload behind it, and one that sees the previous head keeps what it has.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence

from ..environment.snapshot import Document, Environment, Head, Snapshot
from ..exceptions import Overtaken, StoreError
from .announcements import KEPT, KEPT_SECONDS, Announcement, parse_announcements
from .cache import Cache
from .history import PastChange, parse_history, to_plain
from .lease import parse_standbys
from .status import Status, parse_status
from .usage import Usage, parse_usage

HEAD_TYPES = [int, str, int, int, int]
NUDGE_SECONDS = 600  # a leader sees a nudge within 2 s; where none came for so long, nobody waits for the answer

# A payload that was superseded, or whose signals are not sent yet, stays for this long: for readers that saw its head a
# moment ago, and for the next leader, should this one die before it sends the signals.
SUPERSEDED_SECONDS = 600

REPEAT_SECONDS = 3_600  # a webhook whose body came within the last hour is a repeat: Flagsmith sends each once
STREAM_SECONDS = 3_600  # for which a time is sent to who connects, as Flagsmith's stream service keeps it at most
OPEN_STREAMS_SECONDS = 30  # for which the streams of a process count: it writes their number three times in these
ANNOUNCE_TRIES = 20  # of a process that adds to the list while others do: each try takes about 2 ms


class Store:
    """What the listener of one environment publishes. Methods raise `StoreError`, and `Overtaken` where they say so."""

    def __init__(self, alias: str, namespace: str) -> None:
        self.cache = Cache(alias, namespace)

    def close(self) -> None:
        """Close the connection to the cache; the next use opens a new one."""
        self.cache.close()

    def read_head(self) -> Head | None:
        """Return the published head; None where there is none, or something else in its place."""
        return _parse_head(self.cache.get("head", from_replica=True))

    def read_environment(self, sequence: int) -> Environment | None:
        """Return the environment of a sequence; None where its payload is gone or can't be read."""
        payload = self.cache.get(_payload(sequence), from_replica=True)
        try:
            return Environment.from_payload(b64decode(payload))
        except (TypeError, ValueError):
            return None

    def publish(self, document: Document, after: Head | None) -> Snapshot:
        """Store a document as the snapshot that follows `after`.

        Its sequence is the millisecond in which the document was asked for, or the next one that is free.
        """
        asked_at = document.asked_at // 1_000
        sequence = max(after.sequence + 1, asked_at) if after else asked_at
        payload = _to_text(document.environment)
        while not self.cache.add(_payload(sequence), payload, SUPERSEDED_SECONDS):
            if self.cache.get(_payload(sequence)) in (None, payload):
                break  # nothing was stored, which reading back reports; or the same was, before the head failed
            sequence += 1
        self.cache.read_back(_payload(sequence), payload)
        updated_at, published_at = document.updated_at, time.time_ns() // 1_000
        changed_at = max(updated_at, after.changed_at + 1) if after else updated_at
        head = Head(sequence, document.environment.version, updated_at, published_at, changed_at)
        self._write_head(head)
        return Snapshot(head, document.environment)

    def confirm(self, snapshot: Snapshot, updated_at: int) -> Snapshot:
        """Store another `updated_at` for a snapshot whose content is still the same."""
        head = snapshot.head._replace(updated_at=updated_at)
        self._write_head(head)
        return Snapshot(head, snapshot.environment)

    def repair(self, snapshot: Snapshot, head: Head | None) -> bool:
        """Store again what the cache lost of a snapshot; return whether it lost anything. `head` is what was found."""
        name, payload = _payload(snapshot.sequence), _to_text(snapshot.environment)
        has_payload = self.cache.get(name) == payload
        if not has_payload:
            self.cache.set(name, payload)
            self.cache.read_back(name, payload)
        if head == snapshot.head:
            return not has_payload
        # Where no head was found, another process may be about to write a newer one: `add` leaves that alone.
        if head or not self.cache.add("head", list(snapshot.head)):
            self._write_head(snapshot.head)
        return True

    def read_signaled(self) -> Snapshot | None:
        """Return the last snapshot whose signals were sent; None where its payload is gone."""
        head = self.read_signaled_head()
        environment = head and self.read_environment(head.sequence)
        return Snapshot(head, environment) if head and environment else None

    def read_signaled_head(self) -> Head | None:
        """Return the head of the last snapshot whose signals were sent."""
        return _parse_head(self.cache.get("signaled"))

    def mark_signaled(self, head: Head) -> None:
        """Note that the signals of a snapshot were sent: its payload stays, and that of the one before expires.

        Raise `Overtaken` where those of a newer one were.
        """
        before = self.read_signaled_head()
        if before and before.sequence == head.sequence:
            return
        self.cache.touch(_payload(head.sequence), None)
        if before and before.sequence < head.sequence:
            self.cache.touch(_payload(before.sequence), SUPERSEDED_SECONDS)
        self.cache.set("signaled", list(head))
        if before and before.sequence > head.sequence:
            raise Overtaken("The signals of a newer version had been sent.")

    def read_events(self) -> tuple[int | None, tuple[int, ...]]:
        """Return the announced time that is still chased, and the announced times that were seen, in microseconds."""
        match self.cache.get("event"):
            case [int() | None as pending, [*seen]] if all(isinstance(time, int) for time in seen):
                return pending, tuple(seen)
        return None, ()

    def write_events(self, pending: int | None, seen: tuple[int, ...]) -> None:
        """Store for the next leader what this one knows of announced times."""
        self.cache.set("event", [pending, list(seen)])

    def announce(self, announcement: Announcement, digest: str = "") -> bool:
        """Leave an announcement for the leader; False where one of the same `digest` was left within an hour."""
        repeat = f"webhook:{digest}"
        if digest and self.cache.get(repeat):
            return False
        for _ in range(ANNOUNCE_TRIES):  # another process may have replaced the list in between
            left = parse_announcements(self.cache.get("announcements"))
            if announcement in left:
                if digest:
                    self.cache.set(repeat, 1, timeout=REPEAT_SECONDS)
                return True
            self.cache.set("announcements", list(map(list, (*left, announcement)[-KEPT:])), timeout=KEPT_SECONDS)
        raise StoreError("The cache did not keep an announcement.")

    def read_inbox(self) -> tuple[str | None, tuple[Announcement, ...]]:
        """Return what was left for the leader: the mark of a nudge, if there is one, and the last announcements.

        The announcements are those of the last ten minutes, the oldest first.
        """
        mark, announcements = self.cache.get_many("nudge", "announcements")
        return mark if isinstance(mark, str) else None, parse_announcements(announcements)

    def read_stream_times(self, keys: Sequence[str]) -> dict[str, int]:
        """Return by client-side key when other environments were last changed, in microseconds, as far as is known."""
        times = self.cache.get_many(*map(_stream, keys))
        return {key: time for key, time in zip(keys, times, strict=True) if isinstance(time, int)}

    def write_stream_time(self, key: str, time: int) -> None:
        """Store when the environment of a client-side key was changed, for who listens to its stream."""
        self.cache.set(_stream(key), time, timeout=STREAM_SECONDS)

    def write_open_streams(self, process: str, count: int) -> None:
        """Store how many streams a process holds; another that does so too may undo that, until the next time."""
        others = [list(entry) for entry in self._read_open_streams() if entry[0] != process]
        self.cache.set("streams", [*others, [process, count, time.time()]], OPEN_STREAMS_SECONDS)

    def read_open_streams(self) -> int:
        """Return how many streams all processes held lately."""
        return sum(count for _, count, _ in self._read_open_streams())

    def _read_open_streams(self) -> Iterator[tuple[str, int, float]]:
        found = self.cache.get("streams")
        for entry in found if isinstance(found, (list, tuple)) else ():
            match entry:
                case [str(process), int(count), float(at)] if abs(time.time() - at) < OPEN_STREAMS_SECONDS:
                    yield process, count, at

    def write_nudge(self) -> str:
        """Ask the leader to fetch; return the mark that stays in the cache until it has."""
        mark = secrets.token_hex(8)
        self.cache.set("nudge", mark, timeout=NUDGE_SECONDS)
        return mark

    def read_nudge(self) -> str | None:
        """Return the mark of the last process that asked for a fetch; None where the leader has done it."""
        mark = self.cache.get("nudge")
        return mark if isinstance(mark, str) else None

    def clear_nudge(self, mark: str) -> None:
        """Note that the leader has fetched, unless another process asked since."""
        if self.cache.get("nudge") == mark:
            self.cache.delete("nudge")

    def read_status(self) -> Status | None:
        """Return what the last leader wrote of itself; None where nothing can be read."""
        return parse_status(self.cache.get("status"))

    def write_status(self, status: Status) -> None:
        """Store the leader's status. It isn't read back: the next write, 2 s later, replaces it."""
        self.cache.set("status", status.to_plain())

    def read_history(self) -> list[PastChange]:
        """Return the last changes, the newest first; an empty list where they can't be read."""
        return parse_history(self.cache.get("changes"))

    def write_history(self, history: list[PastChange]) -> None:
        """Store the last changes. They aren't read back: the next change writes them all again."""
        self.cache.set("changes", to_plain(history))

    def read_usage(self) -> Usage | None:
        """Return how often flags were read lately; None where nothing was counted, or can be read."""
        return parse_usage(self.cache.get("usage"))

    def write_usage(self, usage: Usage) -> None:
        """Store how often flags were read. It isn't read back: the next write, a minute later, replaces it."""
        self.cache.set("usage", usage.to_plain())

    def read_leader(self) -> str | None:
        """Return the process that holds the lease, as "host:pid"."""
        token = self.cache.get("lease")
        return token.rpartition(":")[0] or None if isinstance(token, str) else None

    def read_standbys(self) -> tuple[str, ...]:
        """Return the processes that wait for the lease, as "host:pid"."""
        return tuple(token.rpartition(":")[0] for token, _ in parse_standbys(self.cache.get("standby")))

    def _write_head(self, head: Head) -> None:
        self.cache.set("head", list(head))

        def is_there(value: object) -> bool:
            found = _parse_head(value)
            if found and found.sequence > head.sequence:
                raise Overtaken("Another process published at the same time.")
            return found == head

        self.cache.read_back("head", list(head), is_there)


def _payload(sequence: int) -> str:
    return f"payload:{sequence}"


def _stream(key: str) -> str:
    return f"stream:{hashlib.sha256(key.encode()).hexdigest()[:16]}"  # it comes from a URL: any text


def _to_text(environment: Environment) -> str:
    """Return a payload as text: a serializer for JSON can't carry bytes."""
    return b64encode(environment.payload).decode("ascii")


def _parse_head(value: object) -> Head | None:
    if isinstance(value, (list, tuple)) and list(map(type, value)) == HEAD_TYPES:
        return Head(*value)
    return None

"""What the panel records of a request's reads."""

from __future__ import annotations

from dataclasses import dataclass

from ..conf import get_read_config
from ..environment.snapshot import Snapshot
from ..identity import UNSET, IdentityOrUnset
from ..reading.flags import Flags
from ..reading.observers import Observer, Read
from ..reading.reader import get_reader
from .places import caller


@dataclass(frozen=True)
class PlacedRead:
    """A read, and where in the project it happened."""

    read: Read
    place: str


class Observation(Observer):
    """The reads of a request, with their places, and how often the process read the cache meanwhile."""

    each_read = True

    def __init__(self, flags: Flags) -> None:
        self._flags = flags  # the request's own
        self._store = get_reader(get_read_config()).store
        self._cache_reads_before = self._store.cache.reads
        self.reads: list[PlacedRead] = []
        flags.pin.observers = (*flags.pin.observers, self)

    def observe(self, read: Read) -> None:
        self.reads.append(PlacedRead(read, caller()))

    @property
    def cache_reads(self) -> int:
        return self._store.cache.reads - self._cache_reads_before

    @property
    def identity(self) -> IdentityOrUnset:
        """The request's identity, or `UNSET` where no read has asked for it."""
        return self._flags.known_identity

    @property
    def snapshot(self) -> Snapshot | None:
        """The request's snapshot, or None where no read has asked for it."""
        return self._flags.pin.get() if self._flags.pin.is_set else None

    def identity_of(self, read: Read) -> IdentityOrUnset:
        """Return whose flag was read; the request's own identity may have become known later."""
        return self.identity if read.identity is UNSET else read.identity

"""Flags that record their reads: the panel puts them in the place of a request's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from flagsmith.models import Flag

from ..environment.snapshot import Snapshot
from ..identity import UNSET, IdentityOrUnset
from ..reading.flags import Flags
from ..reading.reader import get_reader
from ..reading.request_identity import RequestIdentity
from ..reading.scope import ATTRIBUTE, innermost, request_flags
from .places import caller


@dataclass(frozen=True)
class Read:
    """One flag with the value that the caller got, the flags it belongs to, and where in the project it was read."""

    flag: Flag
    flags: ObservedFlags
    place: str


class Observation:
    """What a request has read so far: flags, and how often the cache."""

    def __init__(self) -> None:
        self.reads: list[Read] = []
        self.cache_reads = 0

    @contextmanager
    def count_cache_reads(self) -> Iterator[None]:
        store = get_reader().store
        before = store.cache.reads
        yield
        self.cache_reads += store.cache.reads - before


class ObservedFlags(Flags):
    """Flags that record each read of a flag, and the reads of the cache that find their snapshot."""

    observation: Observation

    def of(self, identity: IdentityOrUnset) -> Flags:
        if identity is UNSET:
            return self
        flags = ObservedFlags(identity, self._pin)
        flags.observation = self.observation
        return flags

    def is_feature_enabled(self, name: str) -> bool:
        flag = self._find(name)
        self._record(flag)
        return flag.enabled

    def get_feature_value(self, name: str, default: Any = None, type: Any = None) -> Any:
        value = super().get_feature_value(name, default, type=type)
        self._record(replace(self._find(name, has_default=True), value=value))
        return value

    def get_flag(self, name: str) -> Flag:
        flag = super().get_flag(name)
        self._record(replace(flag))
        return flag

    async def apin(self) -> Flags:
        if self._pin.is_set:
            return await super().apin()
        with self.observation.count_cache_reads():
            return await super().apin()

    @property
    def known_identity(self) -> IdentityOrUnset:
        """The identity, or `UNSET` where no read has asked for it yet."""
        is_pending = isinstance(self._identity, RequestIdentity) and not self._identity.is_resolved
        return UNSET if is_pending else self.identity

    @property
    def known_snapshot(self) -> Snapshot | None:
        """The snapshot, or None where no read has asked for it yet."""
        return self._pin.get() if self._pin.is_set else None

    @property
    def snapshot(self) -> Snapshot | None:
        if self._pin.is_set:
            return super().snapshot
        with self.observation.count_cache_reads():
            return super().snapshot

    def _record(self, flag: Flag) -> None:
        self.observation.reads.append(Read(flag, self, caller()))


def observe(request: Any, observation: Observation) -> ObservedFlags:
    """Replace a request's flags by flags that record their reads, and return these."""
    own = request_flags(request)
    flags = ObservedFlags(own._identity, own._pin)
    flags.observation = observation
    if request.__dict__.get("flags") is own:  # else the project has set a `request.flags` of its own
        request.flags = flags
    setattr(request, ATTRIBUTE, flags)
    scope = innermost.get()
    if scope is not None and scope.flags is own:
        scope.flags = flags
    return flags

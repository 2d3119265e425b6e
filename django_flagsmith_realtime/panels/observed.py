"""Flags that note who reads them: what the debug toolbar's panel puts in the place of a request's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from flagsmith.models import Flag

from ..environment.snapshot import Snapshot
from ..identity import Identity, Whose
from ..reading.flags import Flags
from ..reading.reader import get_reader
from ..reading.request_identity import RequestIdentity
from ..reading.scope import ATTRIBUTE, current_flags, innermost_stay
from .places import caller


@dataclass(frozen=True)
class Read:
    """One flag with the value that the caller got, the flags it belongs to, and where in the project it was read."""

    flag: Flag
    flags: ObservedFlags
    place: str


class Observation:
    """What a request has read so far."""

    def __init__(self) -> None:
        self.reads: list[Read] = []
        self.cache_reads = 0

    @contextmanager
    def of_cache(self) -> Iterator[None]:
        """Count how often the block reads the cache."""
        store = get_reader().store
        before = store.reads
        yield
        self.cache_reads += store.reads - before


class ObservedFlags(Flags):
    """Flags of the same snapshot and identity as others, each read of which is noted."""

    observation: Observation

    def of(self, identity: Whose) -> Flags:
        flags = cast(ObservedFlags, super().of(identity))
        flags.observation = self.observation
        return flags

    def is_feature_enabled(self, name: str) -> bool:
        flag = self._find(name)
        self._note(flag)
        return flag.enabled

    def get_feature_value(self, name: str, default: Any = None, type: Any = None) -> Any:
        value = super().get_feature_value(name, default, type=type)
        self._note(replace(self._find(name, has_default=True), value=value))
        return value

    def get_flag(self, name: str) -> Flag:
        flag = super().get_flag(name)
        self._note(replace(flag))
        return flag

    async def prepared(self) -> Flags:
        if self._pinned:
            return await super().prepared()
        with self.observation.of_cache():
            return await super().prepared()

    @property
    def known_identity(self) -> Identity | None:
        """Whom the flags are for, as far as that was asked."""
        return self.identity if self.has_identity else None

    @property
    def has_identity(self) -> bool:
        """Tell whether it is settled whom the flags are for."""
        return not isinstance(self._whom, RequestIdentity) or self._whom.is_settled

    @property
    def seen_snapshot(self) -> Snapshot | None:
        """The snapshot, where a read has asked for it."""
        return self._pinned[0] if self._pinned else None

    def _pin(self) -> Snapshot | None:
        if self._pinned:
            return self._pinned[0]
        with self.observation.of_cache():
            return super()._pin()

    def _note(self, flag: Flag) -> None:
        self.observation.reads.append(Read(flag, self, caller()))


def observe(request: Any, observation: Observation) -> ObservedFlags:
    """Put flags whose reads are noted in the place of a request's own, and return them."""
    own = current_flags(request)
    flags = ObservedFlags(own._whom, own._pinned)
    flags.observation = observation
    if request.__dict__.get("flags", own) is own:  # else it is the project's
        request.flags = flags
    setattr(request, ATTRIBUTE, flags)
    if (stay := innermost_stay()).flags is own:
        stay.flags = flags
    return flags

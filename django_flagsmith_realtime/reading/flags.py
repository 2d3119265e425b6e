"""`Flags`: the flags of the environment or of an identity, in one snapshot."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar, overload

from django.core.signals import setting_changed
from django.dispatch import receiver
from flagsmith.models import Flag
from flagsmith.models import Flags as SdkFlags

from ..conf import get_read_config
from ..environment.defaults import default_flag
from ..environment.snapshot import Environment, Snapshot
from ..exceptions import UnknownFlag
from ..identity import UNSET, Identity, IdentityOrUnset, is_same
from ..storage.snapshot_file import load_snapshot, signature
from . import overrides
from .observers import Observer, Read, notify
from .reader import Reader, get_reader
from .request_identity import RequestIdentity
from .usage import usage_counter
from .values import WrongKind, read_as

T = TypeVar("T")
Kind = TypeVar("Kind", bool, int, float, str, dict[str, Any], list[Any])  # of a value: see values.KINDS
logger = logging.getLogger(__name__)

UNKNOWN_REASON = "ERROR; code=FLAG_NOT_FOUND"  # in the SDK's terms, with the codes of OpenFeature
MISMATCH_REASON = "ERROR; code=TYPE_MISMATCH"
MAX_LOGGED = 1_000  # names that are reported once each: they may come from outside, and must not fill the memory
MAX_IDENTITIES = 100  # whose evaluated flags a scope keeps: a task may go through all customers

_logged: set[tuple[str, str]] = set()


@cache
def process_observers() -> tuple[Observer, ...]:
    """Return those that are notified of all reads of this process."""
    config = get_read_config()
    observers: list[Observer] = [usage_counter] if config.reports_usage else []
    if config.hooks:
        try:
            from .hooks import HookObserver, load_hooks
        except ImportError as error:
            logger.error("The hooks of FLAGSMITH['HOOKS'] are not called: %s", error)
        else:
            observers.append(HookObserver(load_hooks()))
    return tuple(observers)


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "FLAGSMITH":
        process_observers.cache_clear()


class Pin:
    """What all reads of a request, a task or a block share: the snapshot that the first one finds, and observers."""

    def __init__(self, max_age: float | None = None) -> None:
        self._max_age = max_age  # seconds; None: `FRESHNESS`
        self._found: list[Snapshot | None] = []  # by each thread that came first; the first of them counts
        self.flags_by_identifier: dict[str | None, Flags] = {}
        self.observers: tuple[Observer, ...] = process_observers()

    @property
    def is_set(self) -> bool:
        return bool(self._found)

    def get(self) -> Snapshot | None:
        if not self._found:
            reader, max_age = self._source()
            self._found.append(reader.current(max_age))
        return self._found[0]

    async def aget(self) -> Snapshot | None:
        if not self._found:
            reader, max_age = self._source()
            self._found.append(await reader.acurrent(max_age))
        return self._found[0]

    async def aget_latest(self) -> None:
        """Find what is published now."""
        self._found.append(await get_reader(get_read_config()).alatest())

    def _source(self) -> tuple[Reader, float]:
        config = get_read_config()
        return get_reader(config), config.freshness if self._max_age is None else self._max_age


class Flags(Mapping[str, Flag]):
    """The flags of the environment or of an identity, read-only, in the snapshot that the first read finds.

    Indexing raises for an unknown name only if `STRICT` is on: otherwise such a flag is what `DEFAULTS` says, else off.
    Iteration, `len()` and `in` are about the flags that Flagsmith knows. Each flag handed out is the caller's own.
    """

    def __init__(self, identity: Identity | RequestIdentity | None = None, pin: Pin | None = None) -> None:
        self._identity = identity
        self.pin: Pin = pin or Pin()
        self._observed: set[tuple[str, str]] = set()  # names of flags, and which method read them
        self._evaluated: tuple[Environment, SdkFlags] | None = None  # for the identity

    def __deepcopy__(self, memo: dict[int, Any]) -> Flags:
        """Return the same flags, which nothing changes: a copy of a request sees what the request saw."""
        return Flags(deepcopy(self._identity, memo), self.pin)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle whose flags these are: the process that loads them pins a snapshot of its own."""
        return Flags, (self._identity,)

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that these flags are read from; the first read asks the cache for it."""
        return file_snapshot() if overrides.are_active() else self.pin.get()

    @property
    def identity(self) -> Identity | None:
        """The identity that these flags are evaluated for; the first read calls `IDENTITY` for it."""
        return self._identity.identity() if isinstance(self._identity, RequestIdentity) else self._identity

    @property
    def known_identity(self) -> IdentityOrUnset:
        """The identity, or `UNSET` where no read has called `IDENTITY` yet."""
        is_pending = isinstance(self._identity, RequestIdentity) and not self._identity.is_resolved
        return UNSET if is_pending else self.identity

    async def apin(self) -> Flags:
        """Pin the snapshot and call `IDENTITY`, so that no read blocks the event loop; return these flags."""
        if not overrides.are_active():
            await self.pin.aget()
        if isinstance(self._identity, RequestIdentity) and self.snapshot:
            await self._identity.aidentity()
        return self

    def of(self, identity: IdentityOrUnset) -> Flags:
        """Return an identity's flags in the same snapshot, for None the environment's, for `UNSET` these."""
        if identity is UNSET:
            return self
        others, key = self.pin.flags_by_identifier, identity.identifier if identity else None
        flags = others.get(key)
        if flags is None or (identity and not is_same(identity, flags.identity)):
            if len(others) >= MAX_IDENTITIES:
                others.clear()
            flags = others[key] = Flags(identity, self.pin)
        return flags

    async def alatest(self) -> Flags:
        """Return the same identity's flags in the snapshot that is published now; none of their reads blocks."""
        latest = Flags(self._identity)
        if not overrides.are_active():
            await latest.pin.aget_latest()
        return await latest.apin()

    def is_feature_enabled(self, name: str) -> bool:
        """Tell whether a flag is on; an unknown one is not, unless `DEFAULTS` says so."""
        flag = self.find(name)
        if self.pin.observers:
            self.notify(flag, "is_feature_enabled", False)
        return flag.enabled

    @overload
    def get_feature_value(self, name: str, default: Any = None) -> Any: ...

    @overload
    def get_feature_value(self, name: str, default: Kind, *, type: type[Kind]) -> Kind: ...

    @overload
    def get_feature_value(self, name: str, default: None = None, *, type: type[Kind]) -> Kind | None: ...

    def get_feature_value(self, name: str, default: Any = None, type: type | None = None) -> Any:
        """Return a flag's value, also where it is off; `default` where it has none or is unknown.

        The value is what Flagsmith has, whatever the type of the default. With `type`, one of bool, int, float, str,
        dict and list, it is of that type, the last two decoded from JSON; else `default`, and a log line.
        """
        flag = self.find(name, has_default=default is not None)
        value, reason = flag.value, None
        if value is None or (default is not None and flag.is_default):
            value = default
        elif type is not None:
            try:
                value = read_as(value, type)
            except WrongKind as error:
                _warn_once("The default stands in for the value of the flag %r: %s", name, str(error))
                value, reason = default, MISMATCH_REASON
        if self.pin.observers:
            is_default = flag.is_default or reason is not None or (flag.value is None and default is not None)
            given = {"value": value, "reason": reason or flag.reason, "is_default": is_default}
            self.notify(flag, "get_feature_value", default, **given)
        return value

    def get_flag(self, name: str) -> Flag:
        """Return a flag with its value, variant and reason; `is_default` tells an unknown one."""
        flag = self.find(name)
        if self.pin.observers:
            self.notify(flag, "get_flag", None)
        return replace(flag)

    def all_flags(self) -> list[Flag]:
        """Return all flags that Flagsmith knows."""
        self.evaluate_all()
        return [self.get_flag(name) for name in self]

    def __getitem__(self, name: str) -> Flag:
        if name not in self and hasattr(type(self), name):
            raise KeyError(name)  # a template that writes `flags.items` means the method
        return self.get_flag(name)

    @overload
    def get(self, name: str, default: None = None) -> Flag | None: ...

    @overload
    def get(self, name: str, default: Flag | T) -> Flag | T: ...

    def get(self, name: str, default: Any = None) -> Any:
        """Return a flag that Flagsmith knows, else `default`."""
        return self.get_flag(name) if name in self else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return flag_name(name) in self._by_name

    def __repr__(self) -> str:
        if isinstance(self._identity, RequestIdentity):
            return "<Flags of a request>"
        return f"<Flags of {'an identity' if self._identity else 'the environment'}>"

    @property
    def _by_name(self) -> Mapping[str, Flag]:
        """The environment's flags, and those that tests set."""
        overridden, snapshot = overrides.visible(), self.snapshot
        flags = snapshot.environment.flags if snapshot else {}
        return {**flags, **overridden} if overridden else flags

    def find(self, name: object, has_default: bool = False) -> Flag:
        """Return a flag, and notify nobody. It must not leave this package: others share it, and it can be changed."""
        name = flag_name(name)
        overridden = overrides.visible()
        if name in overridden:
            return overridden[name]
        snapshot = self.snapshot
        flag = snapshot.environment.flags.get(name) if snapshot else None
        if snapshot is None or flag is None:
            config = get_read_config()
            if name in config.defaults:
                return default_flag(name, config.defaults[name])
            if not (name and has_default):
                _report_unknown(name, snapshot, is_strict=config.strict)
            return Flag(False, None, feature_id=0, feature_name=name, reason=UNKNOWN_REASON, is_default=True)
        identity = self.identity
        if identity is None or name not in snapshot.environment.targeted:
            return flag
        try:
            return self._evaluate(snapshot.environment, identity).get_flag(name)  # type: ignore[return-value]
        except Exception as error:  # a trait or segment that the SDK can't evaluate; its message may be personal data
            why = type(error).__name__
            _warn_once("Flag %r is the environment's, not the identity's: %s", name, why)
            return flag

    def evaluate_all(self) -> None:
        """Have the SDK evaluate all flags at once, for who is about to read most of them.

        For each single flag it goes through all overrides of the segments that have one: 500 flags one by one took 1 s,
        at once 6 ms.
        """
        if (snapshot := self.snapshot) and snapshot.environment.targeted and (identity := self.identity):
            with suppress(Exception):  # of a flag that can't be evaluated: who reads it gets the environment's
                self._evaluate(snapshot.environment, identity).all_flags()

    def notify(self, flag: Flag, by: str, default: Any, **given: Any) -> None:
        """Notify observers of a flag that was read; `given` is what the caller got that the flag has otherwise."""
        is_first = (read := (flag.feature_name, by)) not in self._observed
        self._observed.add(read)
        if observers := [observer for observer in self.pin.observers if is_first or observer.each_read]:
            notify(observers, Read(replace(flag, **given), by, default, self.known_identity))

    def _evaluate(self, environment: Environment, identity: Identity) -> SdkFlags:
        """Return the identity's flags, which the SDK evaluates when they are first read."""
        evaluated = self._evaluated
        if evaluated is None or evaluated[0] is not environment:
            flags = environment.identity_flags(identity.identifier, identity.traits_for_sdk)
            evaluated = self._evaluated = environment, flags
        return evaluated[1]


def flag_name(name: object) -> str:
    """Return the text of a flag's name: what a string holds, whatever `str()` makes of it."""
    if isinstance(name, str):
        return str.__str__(name)
    return "" if name is None else str(name)  # None: an unknown variable of a template


def _report_unknown(name: str, snapshot: Snapshot | None, *, is_strict: bool) -> None:
    """Log once that a flag is off because nobody knows it; raise `UnknownFlag` if `STRICT` is on."""
    is_test = overrides.are_active()
    remedy = " Create it, or name it in FLAGSMITH['DEFAULTS']."
    if not name:
        why, remedy = 'its name is empty. In a template, names stand in quotes: {% flag "new_checkout" %}', ""
    elif is_test:
        why = "tests don't ask the cache, and this one did not set it"
        remedy = " Set it with override_flags, or name it in FLAGSMITH['DEFAULTS']."
    elif snapshot:
        why = f"there is none of this name in Flagsmith's environment {snapshot.environment.name!r}"
    else:
        why = "there are no flags yet: is a listener running? `manage.py flagsmith_status` tells"
    if is_strict or not is_test:  # logged even if it raises: a template's `{% if a and b %}` swallows that
        _warn_once("Flag %r is off: %s", name, why)
    if is_strict:
        raise UnknownFlag(f"Unknown flag {name!r}: {why}.{remedy}")


def _warn_once(message: str, name: str, why: str) -> None:
    if (name, why) not in _logged and len(_logged) < MAX_LOGGED:
        _logged.add((name, why))
        logger.warning(message, name, why)


def file_snapshot() -> Snapshot | None:
    """Return what `SNAPSHOT_FILE` holds if it is the only source: tests that set flags read the others from there."""
    config = get_read_config()
    if config.environment_key or not config.snapshot_file:
        return None
    return _load_snapshot(config.snapshot_file, signature(config.snapshot_file))


@lru_cache(maxsize=1)
def _load_snapshot(path: Path, signature: object) -> Snapshot:
    return load_snapshot(path)

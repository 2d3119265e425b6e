"""`Flags`: what a request or a task sees of the flags, in a snapshot that is asked for once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, overload

from flagsmith.models import Flag
from flagsmith.models import Flags as SdkFlags

from ..conf import Config, get_config
from ..environment.defaults import default_flag, unknown_flag
from ..environment.snapshot import Environment, Snapshot
from ..exceptions import UnknownFlag
from ..identity import UNSET, Identity, Whose, is_same
from ..storage.snapshot_file import load_snapshot
from . import overrides
from .reader import fresh_snapshot, get_reader
from .request_identity import RequestIdentity
from .values import WrongKind, read_as

T = TypeVar("T")
logger = logging.getLogger(__name__)

MAX_LOGGED = 1_000
MAX_IDENTITIES = 100  # whose evaluated flags are kept for one snapshot
NONE: dict[str, Flag] = {}
Others = dict[str | None, "Flags"]

_logged: set[tuple[str, str]] = set()
_shared: tuple[Snapshot, Flags] | None = None  # nobody's, of the snapshot that this process holds


class Flags(Mapping[str, Flag]):
    """The flags of an environment or an identity, read-only, in the snapshot that the first read finds.

    Indexing never raises for an unknown name, unless `STRICT` is on: such a flag is what `DEFAULTS` says, else off.
    Iteration, `len()` and `in` are about the flags that Flagsmith knows. Each flag handed out is the caller's own.
    """

    __slots__ = ("_evaluated", "_others", "_pinned", "_settled", "_whom")

    _max_age = 0.0  # seconds since a look at the cache that is good enough for the first read

    def __init__(
        self,
        whom: Identity | RequestIdentity | None = None,
        pinned: list[Snapshot | None] | None = None,
        others: Others | None = None,
    ) -> None:
        """Take a snapshot from `pinned`, or leave it there: others may share it, and the first that comes counts."""
        self._whom = whom
        self._pinned = [] if pinned is None else pinned
        self._others = others  # of the same snapshot, by identifier
        self._evaluated: SdkFlags | None = None  # of the identity
        self._settled = NONE  # what will not change any more; of nobody in particular, all of the environment's

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that these flags are of; the first read asks for it."""
        return file_snapshot() if overrides.entered else self._pin()

    def _pin(self) -> Snapshot | None:
        if not self._pinned:
            config = get_config()
            self._pinned.append(get_reader(config).current(self._max_age or config.freshness))
        return self._pinned[0]

    async def prepared(self) -> Flags:
        """Ask for what a read needs, so that none blocks the event loop, and return these flags."""
        if not self._pinned and not overrides.entered:
            config = get_config()
            self._pinned.append(await get_reader(config).acurrent(self._max_age or config.freshness))
        if self.snapshot and isinstance(self._whom, RequestIdentity):
            await self._whom.aidentity()
        return self

    @property
    def identity(self) -> Identity | None:
        """Whom these flags are for; the first read asks `IDENTITY`."""
        return self._whom.identity() if isinstance(self._whom, RequestIdentity) else self._whom

    def of(self, identity: Whose) -> Flags:
        """Return the flags of an identity or of nobody in the same snapshot; `UNSET`: these."""
        if identity is UNSET:
            return self
        if self._others is None:
            self._others = {}
        others, key = self._others, identity.identifier if identity else None
        flags = others.get(key)
        if flags is None or (identity and not is_same(identity, flags.identity)):
            if len(others) >= MAX_IDENTITIES:
                others.clear()
            flags = others[key] = type(self)(identity, self._pinned, others)
        return flags

    def is_feature_enabled(self, name: str) -> bool:
        """Tell whether a flag is on; an unknown one is not, unless `DEFAULTS` says so."""
        flag = self._overridden(name) if overrides.entered else self._settled.get(name) or self._read(name)
        return flag.enabled

    @overload
    def get_feature_value(self, name: str, default: Any = None) -> Any: ...

    @overload
    def get_feature_value(self, name: str, default: T, *, type: type[T]) -> T: ...

    @overload
    def get_feature_value(self, name: str, default: None = None, *, type: type[T]) -> T | None: ...

    def get_feature_value(self, name: str, default: Any = None, type: type | None = None) -> Any:
        """Return a flag's value, also where it is off; `default` where it has none or is unknown.

        The value is what Flagsmith has, whatever the type of the default. With `type`, one of bool, int, float, str,
        dict and list, it is of that type, the last two decoded from JSON; else `default`, and a log line.
        """
        if overrides.entered:
            flag = self._overridden(name, default is not None)
        else:
            flag = self._settled.get(name) or self._read(name, default is not None)
        value = flag.value
        if value is None or (default is not None and flag.is_default):
            return default
        try:
            return value if type is None else read_as(value, type)
        except WrongKind as error:
            _warn_once("The default stands in for the value of the flag %r: %s", name, str(error))
            return default

    def get_flag(self, name: str) -> Flag:
        """Return a flag with its value, variant and reason; `is_default` tells an unknown one."""
        return replace(self._find(name))

    def all_flags(self) -> list[Flag]:
        """Return all flags that Flagsmith knows."""
        return [self.get_flag(name) for name in self]

    def __getitem__(self, name: str) -> Flag:
        if name not in self and hasattr(type(self), name):
            raise KeyError(name)  # a template that writes `flags.items` means the method
        return self.get_flag(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a flag that Flagsmith knows, else `default`."""
        return self.get_flag(name) if name in self else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __repr__(self) -> str:
        if isinstance(self._whom, RequestIdentity):
            return "<Flags of a request>"
        return f"<Flags of {'an identity' if self._whom else 'the environment'}>"

    @property
    def _environment_flags(self) -> dict[str, Flag]:
        snapshot = self.snapshot
        return snapshot.environment.flags_by_name if snapshot else NONE

    @property
    def _known(self) -> Mapping[str, Flag]:
        return {**self._environment_flags, **overrides.seen()} if overrides.entered else self._environment_flags

    def _find(self, name: str, has_default: bool = False) -> Flag:
        """Return a flag that must not leave this object."""
        if overrides.entered:
            return self._overridden(name, has_default)
        return self._settled.get(name) or self._read(name, has_default)

    def _overridden(self, name: str, has_default: bool = False) -> Flag:
        """Return a flag where tests set some: what is pinned and evaluated here does not count."""
        if flag := overrides.seen().get(name):
            return flag
        flags = Flags(self._whom, [file_snapshot()]) if overrides.entered else self  # a test may just have left
        return flags._read(name, has_default)

    def _read(self, name: str, has_default: bool = False) -> Flag:
        """Find a flag, and keep it where it will not change any more."""
        snapshot = self._pinned[0] if self._pinned else self._pin()
        if snapshot is None or (flag := snapshot.environment.flags_by_name.get(name)) is None:
            return self._default(name, has_default)
        whom = self._whom
        is_settled = not isinstance(whom, RequestIdentity) or whom.is_settled  # before it is asked, which others do too
        identity = whom.identity() if isinstance(whom, RequestIdentity) else whom
        if identity is not None:
            return self._settle(flag, identity, snapshot.environment)
        if is_settled:
            self._settled = snapshot.environment.flags_by_name
        return flag

    def _settle(self, flag: Flag, identity: Identity, environment: Environment) -> Flag:
        """Evaluate a flag for the identity, if it can be another than the environment's."""
        name = flag.feature_name
        if name in environment.targeted:
            flag = self._evaluate(flag, identity, environment)
        if self._settled is NONE:
            self._settled = {}
        self._settled[name] = flag
        return flag

    def _evaluate(self, flag: Flag, identity: Identity, environment: Environment) -> Flag:
        """Return the environment's flag as the identity has it."""
        try:
            if self._evaluated is None:
                self._evaluated = environment.identity_flags(identity.identifier, identity.traits_for_sdk)
            return self._evaluated.get_flag(flag.feature_name)  # type: ignore[return-value]
        except Exception as error:  # a trait or a segment that the SDK can't evaluate; its message may be personal data
            why = type(error).__name__
            _warn_once("Flag %r is the environment's, not the identity's: %s", flag.feature_name, why)
            return flag

    def _default(self, name: str, has_default: bool) -> Flag:
        config = get_config()
        if name in config.defaults:
            return default_flag(name, config.defaults[name])
        if not (name and has_default):
            self._report_unknown(name, config.strict)
        return unknown_flag(name)

    def _report_unknown(self, name: str, strict: bool) -> None:
        why, remedy = "there are no flags yet: is a listener running? `manage.py flagsmith_status` tells", "Create it"
        if self.snapshot:
            why = f"there is none of this name in Flagsmith's environment {self.snapshot.environment.name!r}"
        if is_test := bool(overrides.entered):
            why, remedy = "tests don't ask the cache, and this one did not set it", "Set it with override_flags"
        remedy = f" {remedy}, or name it in FLAGSMITH['DEFAULTS']."
        if not name:
            why, remedy = 'its name is empty. In a template, names stand in quotes: {% flag "new_checkout" %}', ""
        if strict or not is_test:  # said even where it raises: a template's `{% if a and b %}` swallows that
            _warn_once("Flag %r is off: %s", name, why)
        if strict:
            raise UnknownFlag(f"Unknown flag {name!r}: {why}.{remedy}")


def environment_flags(config: Config) -> Flags:
    """Return nobody's flags; within `FRESHNESS` all requests share them, as nothing about them can change."""
    global _shared
    shared, snapshot = _shared, None if overrides.entered else fresh_snapshot(config)
    if snapshot is None:
        _shared = None  # a newer one may be about to come
        return Flags()
    if shared is None or shared[0] is not snapshot:
        shared = _shared = snapshot, Flags(None, [snapshot])
    return shared[1]


def _warn_once(message: str, name: str, why: str) -> None:
    if (name, why) not in _logged and len(_logged) < MAX_LOGGED:
        _logged.add((name, why))
        logger.warning(message, name, why)


def file_snapshot() -> Snapshot | None:
    """Return the flags of `SNAPSHOT_FILE` where that is the source: what tests have without a cache."""
    config = get_config()
    if config.environment_key or not config.snapshot_file:
        return None
    path = Path(config.snapshot_file)
    return _load_snapshot(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=1)
def _load_snapshot(path: Path, changed_at: int) -> Snapshot:
    return load_snapshot(path)

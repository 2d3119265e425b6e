"""What users call: `get_flags`, `aget_flags`, and the `Flags` they return."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast, overload

from django.http import HttpRequest
from django.utils.functional import cached_property
from flagsmith.models import Flag
from flagsmith.models import Flags as SdkFlags

from . import overrides
from .conf import get_config
from .defaults import default_flag, unknown_flag
from .exceptions import UnknownFlag
from .identity import UNSET, Identity, Whose, check_identity
from .scope import Scope, current_scope, file_snapshot
from .snapshot import Snapshot
from .values import WrongKind, read_as

T = TypeVar("T")
logger = logging.getLogger(__name__)

MAX_LOGGED = 1_000

_logged: set[tuple[str, str]] = set()


class Flags(Mapping[str, Flag]):
    """The flags of an environment or an identity, read-only, in one snapshot.

    Indexing never raises for an unknown name, unless `STRICT` is on: such a flag is what `DEFAULTS` says, else off.
    Iteration, `len()` and `in` are about the flags that Flagsmith knows. Each flag handed out is the caller's own.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._evaluated: dict[str, Flag] = {}

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that these flags are of; the first read asks for it."""
        return file_snapshot() if overrides.are_active() else self._scope.snapshot()

    @property
    def identity(self) -> Identity | None:
        """Whom these flags are for; the first read asks `IDENTITY`."""
        return self._scope.whom.identity()

    def is_feature_enabled(self, name: str) -> bool:
        """Tell whether a flag is on; an unknown one is not, unless `DEFAULTS` says so."""
        return self._find(name).enabled

    @overload
    def get_feature_value(self, name: str, default: Any = None) -> Any: ...

    @overload
    def get_feature_value(self, name: str, default: T, *, type: type[T]) -> T: ...

    @overload
    def get_feature_value(self, name: str, default: None = None, *, type: type[T]) -> T | None: ...

    def get_feature_value(self, name: str, default: Any = None, *, type: type | None = None) -> Any:
        """Return a flag's value, also where it is off; `default` where it has none or is unknown.

        The value is what Flagsmith has, whatever the type of the default. With `type`, one of bool, int, float, str,
        dict and list, it is of that type, the last two decoded from JSON; else `default`, and a log line.
        """
        flag = self._find(name, has_default=default is not None)
        if flag.value is None or (flag.is_default and default is not None):
            return default
        try:
            return flag.value if type is None else read_as(flag.value, type)
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
        return f"<Flags of {self._scope.whom}>"

    @property
    def _environment_flags(self) -> Mapping[str, Flag]:
        snapshot = self.snapshot
        return snapshot.environment.flags if snapshot else {}

    @property
    def _known(self) -> Mapping[str, Flag]:
        return {**self._environment_flags, **overrides.seen()} if overrides.are_active() else self._environment_flags

    @cached_property
    def _identity_flags(self) -> SdkFlags:
        identity, snapshot = self.identity, self.snapshot
        assert identity and snapshot
        return snapshot.environment.identity_flags(identity.identifier, identity.traits)

    def _find(self, name: str, *, has_default: bool = False) -> Flag:
        """Return a flag that must not leave this object."""
        if overrides.are_active():
            elsewhere = Flags(Scope(self._scope.whom))  # what is pinned and evaluated here does not count
            return overrides.seen().get(name) or elsewhere._read(name, has_default)
        return self._read(name, has_default)

    def _read(self, name: str, has_default: bool) -> Flag:
        flag = self._evaluated.get(name)
        if flag is None:
            flag = self._environment_flags.get(name)
            if flag is None:
                return self._default(name, has_default)
            flag = self._evaluate(flag)
            if self._scope.whom.is_settled:
                self._evaluated[name] = flag
        return flag

    def _evaluate(self, flag: Flag) -> Flag:
        """Return the environment's flag as the identity has it."""
        if self.identity is None:
            return flag
        try:
            return cast(Flag, self._identity_flags.get_flag(flag.feature_name))
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
        if is_test := overrides.are_active():
            why, remedy = "tests don't ask the cache, and this one did not set it", "Set it with override_flags"
        remedy = f" {remedy}, or name it in FLAGSMITH['DEFAULTS']."
        if not name:
            why, remedy = 'its name is empty. In a template, names stand in quotes: {% flag "new_checkout" %}', ""
        if strict or not is_test:  # said even where it raises: a template's `{% if a and b %}` swallows that
            _warn_once("Flag %r is off: %s", name, why)
        if strict:
            raise UnknownFlag(f"Unknown flag {name!r}: {why}.{remedy}")


def _warn_once(message: str, name: str, why: str) -> None:
    if (name, why) not in _logged and len(_logged) < MAX_LOGGED:
        _logged.add((name, why))
        logger.warning(message, name, why)


def get_flags(request: HttpRequest | None = None, *, identity: Whose = UNSET) -> Flags:
    """Return the flags of an identity: by default the one that `IDENTITY` names for the request, or the scope's.

    `identity=None` is nobody's: the environment's flags. Nothing is asked until a flag is read. Within a request all
    reads see one snapshot; `request` may be left out where the middleware runs.
    """
    return _flags(_scope(request, identity))


async def aget_flags(request: HttpRequest | None = None, *, identity: Whose = UNSET) -> Flags:
    """Return what `get_flags` returns, with everything asked that a read needs, so that none blocks the event loop."""
    scope = _scope(request, identity)
    if file_snapshot() if overrides.are_active() else await scope.asnapshot():
        await scope.whom.aidentity()
    return _flags(scope)


def _scope(request: HttpRequest | None, identity: Whose) -> Scope:
    if isinstance(request, Identity):
        raise TypeError('An identity is named by keyword: get_flags(identity=Identity("42")).')
    return current_scope(request).of(check_identity(identity))


def _flags(scope: Scope) -> Flags:
    if scope.flags is None:
        scope.flags = Flags(scope)
    return scope.flags

"""`FlagsmithProvider`: OpenFeature's client reads the snapshot that all processes share."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from django.db import connections
from django.utils.translation import override
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, FlagType
from openfeature.hook import Hook
from openfeature.provider import AbstractProvider, Metadata

from .api import Flags, aget_flags, get_flags
from .compat import renew_event_threads
from .conf import get_read_config
from .environment.defaults import DEFAULTS_REASON
from .environment.diff import diff
from .environment.snapshot import Snapshot
from .identity import UNSET, Identity, IdentityOrUnset
from .monitoring.health import check_health
from .reading import overrides
from .reading.flags import MISMATCH_REASON, UNKNOWN_REASON
from .reading.hooks import METADATA, describe, load_hooks
from .reading.observers import OPENFEATURE
from .reading.reader import get_reader
from .reading.values import WrongKind, read_as
from .signals import snapshot_loaded

# Between two checks of the deployment's health while flags are evaluated. A check reads four cache keys, and a handler
# knows within this time what health/ says; outages that it is about last for minutes (see monitoring/health).
CHECK_SECONDS = 30.0
NOT_READY_REASON = "ERROR; code=PROVIDER_NOT_READY"
TYPES = {FlagType.BOOLEAN: bool, FlagType.INTEGER: int, FlagType.FLOAT: float, FlagType.STRING: str}


def _resolver(kind: FlagType) -> tuple[Any, Any]:
    """Return the method that resolves flags of one type, and its twin for coroutines."""

    def resolve(
        self: FlagsmithProvider, flag_key: str, default_value: Any, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Any]:
        return self._resolve(kind, flag_key, default_value, get_flags(identity=identity_of(evaluation_context)))

    async def aresolve(
        self: FlagsmithProvider, flag_key: str, default_value: Any, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Any]:
        return self._resolve(kind, flag_key, default_value, await aget_flags(identity=identity_of(evaluation_context)))

    return resolve, aresolve


class FlagsmithProvider(AbstractProvider):
    """Resolves flags of the published snapshot; nothing is sent to Flagsmith.

    A boolean is whether a flag is on; any other type is its value while it is on. With `use_boolean_config_value` a
    boolean is the flag's value too, with `return_value_for_disabled_flags` a value is that of a flag that is off, and
    with `use_flagsmith_defaults` the setting `DEFAULTS` comes before the caller's default.
    """

    def __init__(
        self,
        *,
        use_boolean_config_value: bool = False,
        return_value_for_disabled_flags: bool = False,
        use_flagsmith_defaults: bool = False,
    ) -> None:
        super().__init__()
        self.use_boolean_config_value = use_boolean_config_value
        self.return_value_for_disabled_flags = return_value_for_disabled_flags
        self.use_flagsmith_defaults = use_flagsmith_defaults
        self._event = ProviderEvent.PROVIDER_READY  # the last one about its health
        self._checked_at = -math.inf
        self._check: threading.Thread | None = None

    resolve_boolean_details, resolve_boolean_details_async = _resolver(FlagType.BOOLEAN)
    resolve_string_details, resolve_string_details_async = _resolver(FlagType.STRING)
    resolve_integer_details, resolve_integer_details_async = _resolver(FlagType.INTEGER)
    resolve_float_details, resolve_float_details_async = _resolver(FlagType.FLOAT)
    resolve_object_details, resolve_object_details_async = _resolver(FlagType.OBJECT)

    def get_metadata(self) -> Metadata:
        return METADATA

    def get_provider_hooks(self) -> list[Hook]:
        """Return those of `HOOKS`, except where the client calls one of the same class anyway."""
        registered = {type(hook) for hook in api.get_hooks()}
        return [hook for hook in load_hooks() if type(hook) not in registered]

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Be ready at once: a process may start before the cache, and fork. The first evaluation finds out more."""
        self._event, self._checked_at = ProviderEvent.PROVIDER_READY, -math.inf
        snapshot_loaded.connect(self._on_snapshot_loaded)

    def shutdown(self) -> None:
        snapshot_loaded.disconnect(self._on_snapshot_loaded)

    def _resolve(self, kind: FlagType, key: str, default: Any, flags: Flags) -> FlagResolutionDetails[Any]:
        reads_value = kind is not FlagType.BOOLEAN or self.use_boolean_config_value
        flag = flags.find(key, has_default=True)
        self._watch_health()
        value, reason, is_default, message = default, flag.reason, True, None
        if flag.is_default and not (self.use_flagsmith_defaults and reason == DEFAULTS_REASON):
            reason, message = UNKNOWN_REASON, f"The flag {key!r} was not found."
            if flags.snapshot is None and not overrides.are_active():
                reason, message = NOT_READY_REASON, "There are no flags yet: is a listener running?"
        elif not reads_value:
            value, is_default = flag.enabled, flag.is_default
        elif flag.enabled or self.return_value_for_disabled_flags:
            try:
                value, is_default = convert(flag.value, kind), flag.is_default
            except WrongKind as error:
                reason, message = MISMATCH_REASON, f"The flag {key!r} can't be read as {kind}: {error}."
        flag = replace(flag, value=value, reason=reason, is_default=is_default)
        if flags.pin.observers:
            flags.notify(flag, OPENFEATURE, default)
        details = describe(flag, value, reads_value=reads_value)
        return FlagResolutionDetails(
            value=value,
            error_code=details.error_code,
            error_message=message,
            reason=details.reason,
            variant=details.variant,
            flag_metadata=details.flag_metadata,
        )

    def _watch_health(self) -> None:
        """Let a thread check the deployment's health now and then: no evaluation waits for it, or for a handler."""
        now = time.monotonic()
        if now - self._checked_at >= CHECK_SECONDS and not overrides.are_active():
            if self._check and self._check.is_alive():  # a cache without a timeout may hang for hours
                return
            self._checked_at = now
            self._check = _run_in_thread(self._emit_health)

    def _emit_health(self) -> None:
        config = get_read_config()
        reader = get_reader(config)
        with override("en"):  # for handlers
            health = check_health(config, reader.store)
        event, details = ProviderEvent.PROVIDER_READY, ProviderEventDetails()
        if not health.is_healthy:
            details.message = " ".join(problem.text for problem in health.problems)
            event = ProviderEvent.PROVIDER_STALE
            if reader.current(math.inf) is None:
                event, details.error_code = ProviderEvent.PROVIDER_ERROR, ErrorCode.PROVIDER_NOT_READY
        if event is not self._event:
            self._event = event
            self.emit(event, details)

    def _on_snapshot_loaded(self, *, snapshot: Snapshot, previous: Snapshot | None, **kwargs: Any) -> None:
        if previous is None:
            self._checked_at = -math.inf  # the next evaluation finds out that there are flags
        elif previous.environment is not snapshot.environment:
            _run_in_thread(self._emit_changes, previous, snapshot)

    def _emit_changes(self, previous: Snapshot, snapshot: Snapshot) -> None:
        if names := list(diff(previous.environment, snapshot.environment)):
            self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=names))


def _run_in_thread(function: Callable[..., None], *args: Any) -> threading.Thread:
    def run() -> None:
        try:
            function(*args)
        finally:
            connections.close_all()  # of a DatabaseCache: this thread ends

    thread = threading.Thread(target=run, name="flagsmith-openfeature", daemon=True)
    with suppress(RuntimeError):  # no thread can start: the interpreter ends, or the system has too many
        thread.start()
    return thread


def identity_of(context: EvaluationContext | None) -> IdentityOrUnset:
    """Return for whom a flag is evaluated: `UNSET`, which is the request's identity, where nobody is named.

    Attributes are traits, and so are those in an attribute `traits`, as in Flagsmith's provider.
    """
    if context is None or not context.targeting_key:
        return UNSET
    traits = dict(context.attributes)
    if isinstance(nested := traits.pop("traits", None), Mapping):
        traits.update(nested)
    return Identity(str(context.targeting_key), traits)


def convert(value: Any, kind: FlagType) -> Any:
    """Return a flag's value as a type of OpenFeature; raise `WrongKind`. Flagsmith has floats and objects as text."""
    if kind is FlagType.OBJECT:
        with suppress(WrongKind):
            return read_as(value, dict)
        return read_as(value, list)
    if kind is FlagType.FLOAT and isinstance(value, str):
        try:
            value = float(value)
        except ValueError as error:
            raise WrongKind("it isn't a number") from error
        if not math.isfinite(value):
            raise WrongKind("it isn't a finite number")
    return read_as(value, TYPES[kind])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renew_event_threads)

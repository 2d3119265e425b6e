"""`HOOKS`: hooks of OpenFeature, called for reads of flags. Imported only where it is set: needs openfeature-sdk."""

from __future__ import annotations

import logging
from functools import cache
from types import MappingProxyType
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string
from flagsmith.models import Flag
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagType, Reason
from openfeature.hook import Hook, HookContext, HookHints
from openfeature.provider import Metadata

from ..conf import get_read_config
from ..identity import Identity
from .observers import OPENFEATURE, Observer, Read, call

logger = logging.getLogger(__name__)

METADATA = Metadata(name="Flagsmith")  # of the provider
NO_HINTS: HookHints = MappingProxyType({})
TYPES = {bool: FlagType.BOOLEAN, int: FlagType.INTEGER, float: FlagType.FLOAT, str: FlagType.STRING}


def load_hook(path: str) -> Hook:
    """Return the hook that a dotted path names, or that the class or function which it names returns.

    Raise ImportError or TypeError where there is none, or what the class or function raises.
    """
    named = import_string(path)
    hook = named() if callable(named) else named
    if not isinstance(hook, Hook):
        raise TypeError(f"it is of type {type(hook).__name__}, not a hook of OpenFeature")
    return hook


@cache
def load_hooks() -> tuple[Hook, ...]:
    """Return the hooks that `HOOKS` names. Log one that can't be loaded, and leave it out."""
    hooks = []
    for path in get_read_config().hooks:
        try:
            hooks.append(load_hook(path))
        except Exception:
            logger.exception("A hook of FLAGSMITH['HOOKS'] can't be loaded, and is not called: %s", path)
    return tuple(hooks)


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "FLAGSMITH":
        load_hooks.cache_clear()


class HookObserver(Observer):
    """Calls hooks in the order in which OpenFeature's client does. None can change the read."""

    def __init__(self, hooks: tuple[Hook, ...]) -> None:
        self._hooks = hooks

    def observe(self, read: Read) -> None:
        if read.by == OPENFEATURE:  # the client calls them: they are its provider's
            return
        flag = read.flag
        is_boolean = flag.value is None or read.by == "is_feature_enabled"  # without a value, a flag is a boolean
        details = describe(flag, flag.enabled if is_boolean else flag.value, reads_value=not is_boolean)
        kind = TYPES.get(type(details.value), FlagType.OBJECT)
        calls = [
            (hook, HookContext(details.flag_key, kind, read.default, context_of(read), provider_metadata=METADATA))
            for hook in self._hooks
            if call(hook, hook.supports_flag_value_type, kind)
        ]
        for hook, hook_context in calls:
            call(hook, hook.before, hook_context=hook_context, hints=NO_HINTS)
        calls.reverse()
        error = details.get_exception()
        for hook, hook_context in calls:
            if error:
                call(hook, hook.error, hook_context=hook_context, exception=error, hints=NO_HINTS)
            else:
                call(hook, hook.after, hook_context=hook_context, details=details, hints=NO_HINTS)
        for hook, hook_context in calls:
            call(hook, hook.finally_after, hook_context=hook_context, details=details, hints=NO_HINTS)


def context_of(read: Read) -> EvaluationContext:
    """Return for whom a flag was read, which the hook that gets it may change."""
    if isinstance(read.identity, Identity):
        return EvaluationContext(read.identity.identifier, dict(read.identity.traits))
    return EvaluationContext()


def describe(flag: Flag, value: Any, *, reads_value: bool) -> FlagEvaluationDetails[Any]:
    """Return in OpenFeature's terms what a read of a flag, or of its value, gave.

    Its reason and error code come from the SDK's, such as "SPLIT; weight=30" or "ERROR; code=FLAG_NOT_FOUND".
    """
    reason, _, detail = (flag.reason or Reason.UNKNOWN).partition("; ")
    error_code = None
    if reason == Reason.ERROR:
        code = detail.removeprefix("code=")
        error_code = ErrorCode[code] if code in ErrorCode.__members__ else ErrorCode.GENERAL
    elif reads_value and not flag.enabled:
        reason = Reason.DISABLED
    elif flag.is_default:
        reason = Reason.DEFAULT
    details: dict[str, bool | int | float | str] = {"enabled": flag.enabled, "reason": flag.reason or ""}
    if flag.feature_id:
        details["featureId"] = flag.feature_id  # called so by Flagsmith's provider
    variant = None if flag.is_default else flag.variant
    return FlagEvaluationDetails(flag.feature_name, value, variant, details, reason, error_code)

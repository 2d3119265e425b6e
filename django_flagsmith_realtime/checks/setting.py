"""System checks of the `FLAGSMITH` setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Warning, register
from django.utils.module_loading import import_string

from ..conf import Config, find_missing, find_problems, get_config, get_setting
from ..storage.backends import find_missing_cache
from .registry import TAG, checks_config


def find_identity_problems(config: Config) -> list[Error]:
    """Return the error of an `IDENTITY` that can't be imported or called."""
    path = config.identity
    try:
        named = import_string(path) if isinstance(path, str) else path
    except ImportError as error:
        named, why = path, str(error).rstrip(".")
    else:
        why = "it is not callable"
    if named is None or callable(named):
        return []
    hint = 'Name a callable that takes a request: "django_flagsmith_realtime.identity.from_user", or one of your own.'
    return [Error(f"FLAGSMITH['IDENTITY'] is {path!r}: {why}.", hint=hint, id="flagsmith.E007")]


@register(TAG)
def check_setting(**kwargs: Any) -> list[Error]:
    """Report unknown keys, invalid values, a client-side or missing key, a cache or a callable that doesn't exist."""
    if problems := find_problems(get_setting()):
        return problems
    config = get_config()
    return [*find_missing(config), *find_missing_cache(config.cache), *find_identity_problems(config)]


@checks_config()
def find_short_age(config: Config) -> Iterator[CheckMessage]:
    """Warn of a `MAX_STALE` that healthy flags exceed between two polls."""
    key = "FALLBACK_POLL_INTERVAL" if config.realtime_url else "POLL_INTERVAL"
    interval = config.fallback_poll_interval if config.realtime_url else config.poll_interval
    if config.environment_key and config.max_stale is not None and config.max_stale <= interval:
        yield Warning(
            f"FLAGSMITH['MAX_STALE'] is {config.max_stale:g} s: flags that are polled every {interval:g} s ({key}) are "
            "reported stale in between.",
            hint=f"Set MAX_STALE well above {key}.",
            id="flagsmith.W018",
        )


@checks_config(deploy=True)
def find_strict(config: Config) -> Iterator[CheckMessage]:
    """Warn of `STRICT` in production."""
    if config.strict:
        yield Warning(
            "FLAGSMITH['STRICT'] is on: a page that reads an unknown flag fails.",
            hint="Switch it on in development and tests only.",
            id="flagsmith.W017",
        )

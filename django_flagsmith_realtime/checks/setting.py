"""System checks of the `FLAGSMITH` setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Error, Warning, register
from django.utils.module_loading import import_string

from ..conf import KEYS, Config, Problem, find_missing, find_problems
from .caches import Alias, find_missing_client
from .registry import TAG, checks_config

CACHES_TO_PASTE = """
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "flagsmith": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:6379/0",
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    },
}
FLAGSMITH["CACHE"] = "flagsmith"
"""


def find_missing_cache(setting: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with the alias that a well-formed setting names."""
    alias = _alias(setting)
    if alias in settings.CACHES:
        return []
    return [
        Problem(
            "flagsmith.E006",
            f"FLAGSMITH['CACHE'] is {alias!r}, which is not in CACHES.",
            f"Add it there, or name one of: {', '.join(settings.CACHES)}.",
        )
    ]


def find_identity_problems(setting: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with the callable that a well-formed setting names."""
    path = setting.get("IDENTITY")
    try:
        named = import_string(path) if isinstance(path, str) else path
    except ImportError as error:
        named, why = path, str(error).rstrip(".")
    else:
        why = "it is not callable"
    if named is None or callable(named):
        return []
    hint = 'Name a callable that takes a request: "django_flagsmith_realtime.identity.from_user", or one of your own.'
    return [Problem("flagsmith.E007", f"FLAGSMITH['IDENTITY'] is {path!r}: {why}.", hint)]


def find_command_problems(setting: Any) -> list[Problem]:
    """Return why a listener in a process of its own can't work."""
    problems = find_inline_problems(setting)
    alias = None if problems else Alias(_alias(setting))
    if alias and alias.is_a(LocMemCache):
        what = f"The cache {alias.name!r} lives in one process: no other would see what is stored there."
        inline = "The process that serves requests listens, and its health/ tells how it is"
        if setting.get("LISTENER") != "inline":
            inline = 'With a single process, set FLAGSMITH["LISTENER"] = "inline" and start no listener'
        return [Problem("", what, f"{inline}; else use a cache that is shared, as these lines do:\n{CACHES_TO_PASTE}")]
    return problems


def find_inline_problems(setting: Any) -> list[Problem]:
    """Return why a listener inside a process that serves requests can't work."""
    problems = find_problems(setting) or [*find_missing(setting), *find_missing_cache(setting)]
    if problems:
        return problems
    alias = Alias(_alias(setting))
    if alias.is_a(DummyCache):
        return [Problem("", f"The cache {alias.name!r} keeps nothing.", f"Use another:\n{CACHES_TO_PASTE}")]
    return find_missing_client(alias)


def _alias(setting: Mapping[str, Any]) -> str:
    return str(setting.get("CACHE", KEYS["CACHE"].default))


@register(TAG)
def check_setting(**kwargs: Any) -> list[CheckMessage]:
    """Report unknown keys, wrong values, a client-side or missing key, a cache or a callable that is not there."""
    setting = getattr(settings, "FLAGSMITH", {})
    problems = find_problems(setting) or [
        *find_missing(setting),
        *find_missing_cache(setting),
        *find_identity_problems(setting),
    ]
    return [Error(problem.message, hint=problem.hint, id=problem.id) for problem in problems]


@checks_config()
def find_short_age(config: Config) -> Iterator[CheckMessage]:
    """Warn of an age that healthy flags reach between two polls."""
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
    """Warn of reads that raise in production."""
    if config.strict:
        yield Warning(
            "FLAGSMITH['STRICT'] is on: a page that reads a flag which Flagsmith does not know fails.",
            hint="Switch it on in development and tests only.",
            id="flagsmith.W017",
        )

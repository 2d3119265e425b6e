"""Why a listener can't work with the project's settings: found before it starts, and said by the system checks too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import Error

from ..conf import KEYS, find_missing, find_problems
from ..storage.backends import Alias

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


def find_missing_cache(setting: Mapping[str, Any]) -> list[Error]:
    """Return the error of a well-formed `FLAGSMITH` whose cache is not in `CACHES`."""
    alias = _alias(setting)
    if alias in settings.CACHES:
        return []
    hint = f"Add it there, or name one of: {', '.join(settings.CACHES)}."
    return [Error(f"FLAGSMITH['CACHE'] is {alias!r}, which is not in CACHES.", hint=hint, id="flagsmith.E006")]


def find_missing_client(alias: Alias) -> list[Error]:
    """Return the error of a cache whose client library is not installed."""
    if not (missing := alias.find_missing_client()):
        return []
    module, requirement = missing
    what = f"The cache {alias.name!r} needs the Python package {module!r}, which is not installed."
    return [Error(what, hint=f"pip install {requirement}", id="flagsmith.E008")]


def find_command_problems(setting: object) -> list[Error]:
    """Return why a listener in a process of its own, which nobody else's memory reaches, can't work."""
    if problems := find_inline_problems(setting):
        return problems
    assert isinstance(setting, Mapping)  # else it has problems
    alias = Alias(_alias(setting))
    if not alias.is_a(LocMemCache):
        return []
    what = f"The cache {alias.name!r} lives in one process: no other would see what is stored there."
    inline = "The process that serves requests listens, and its health/ tells how it is"
    if setting.get("LISTENER") != "inline":
        inline = 'With a single process, set FLAGSMITH["LISTENER"] = "inline" and start no listener'
    return [Error(what, hint=f"{inline}; else use a cache that is shared, as these lines do:\n{CACHES_TO_PASTE}")]


def find_inline_problems(setting: object) -> list[Error]:
    """Return why a listener inside a process that serves requests can't work."""
    if problems := find_problems(setting):
        return problems
    assert isinstance(setting, Mapping)  # else it has problems
    if problems := [*find_missing(setting), *find_missing_cache(setting)]:
        return problems
    alias = Alias(_alias(setting))
    if alias.is_a(DummyCache):
        return [Error(f"The cache {alias.name!r} keeps nothing.", hint=f"Use another:\n{CACHES_TO_PASTE}")]
    return find_missing_client(alias)


def _alias(setting: Mapping[str, Any]) -> str:
    return str(setting.get("CACHE", KEYS["CACHE"].default))

"""What a listener needs of the project's settings, checked before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.checks import CheckMessage, Error

from ..conf import find_missing, find_missing_cache, find_problems, get_config, get_setting
from ..storage.backends import find_unusable_client, get_backend

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


def find_inline_problems() -> Sequence[CheckMessage]:
    """Return why a listener inside a process that serves requests can't work."""
    if problems := find_problems(get_setting()):
        return problems
    config = get_config()
    if missing := [*find_missing(config), *find_missing_cache(config.cache)]:
        return missing
    if not get_backend(config.cache).keeps_entries:
        return [Error(f"The cache {config.cache!r} keeps nothing.", hint=f"Use another one:\n{CACHES_TO_PASTE}")]
    return find_unusable_client(config.cache)


def find_command_problems() -> Sequence[CheckMessage]:
    """Return why a listener in a process of its own can't work."""
    if problems := find_inline_problems():
        return problems
    config = get_config()
    if not get_backend(config.cache).is_per_process:
        return []
    what = f"The cache {config.cache!r} lives in one process: no other process sees what is stored there."
    if config.listener == "inline":
        inline = "The process that serves requests listens, and its health/ shows the status."
    else:
        inline = 'For a single process, set FLAGSMITH["LISTENER"] = "inline" and start no listener.'
    return [Error(what, hint=f"{inline} For several processes, use a shared cache:\n{CACHES_TO_PASTE}")]

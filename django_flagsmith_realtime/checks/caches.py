"""System checks of the cache that `FLAGSMITH["CACHE"]` names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.memcached import PyLibMCCache, PyMemcacheCache
from django.core.cache.backends.redis import RedisCache
from django.core.checks import CheckMessage, Error, Tags, Warning
from django.utils.module_loading import import_string

from ..conf import Config, Problem
from .registry import checks_config

CLIENTS: tuple[tuple[type[BaseCache], str, str], ...] = (
    (RedisCache, "redis", '"django-flagsmith-realtime[redis]"'),
    (PyMemcacheCache, "pymemcache", '"django-flagsmith-realtime[memcached]"'),
    (PyLibMCCache, "pylibmc", "pylibmc"),
)
TIMEOUTS = {  # the options that bound a wait, by a backend's module; libmemcached has some by default
    RedisCache.__module__: ("socket_connect_timeout", "socket_timeout"),
    "django_redis.cache": ("SOCKET_CONNECT_TIMEOUT", "SOCKET_TIMEOUT"),
    PyMemcacheCache.__module__: ("connect_timeout", "timeout"),
}
OWN_ALIAS = 'Give the flags an alias of their own in CACHES and name it in FLAGSMITH["CACHE"]'
SHARED_CACHES = "Redis, memcached or the database"


class Alias:
    """An entry of `CACHES`, as far as it can be read without connecting to anything."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entry: Mapping[str, Any] = dict(settings.CACHES.get(name, {}))
        self.options: Mapping[str, Any] = self.entry.get("OPTIONS") or {}

    def is_a(self, *backends: type[BaseCache]) -> bool:
        return issubclass(self._backend, backends)

    @property
    def _backend(self) -> type[Any]:
        try:
            backend = import_string(str(self.entry.get("BACKEND", "")))
        except ImportError:  # Django says so as soon as the cache is used
            return object
        return backend if isinstance(backend, type) else object

    @property
    def is_shared(self) -> bool:
        """Whether other entries than ours go there too."""
        place = self.entry.get("BACKEND"), self.entry.get("LOCATION")
        others = (entry for name, entry in settings.CACHES.items() if name != self.name)
        return self.name == "default" or place in [(entry.get("BACKEND"), entry.get("LOCATION")) for entry in others]

    @property
    def has_default_size(self) -> bool:
        return "max_entries" not in {key.lower() for key in (*self.entry, *self.options)}

    @property
    def timeouts(self) -> tuple[str, ...]:
        """The names of the client's options that bound a wait."""
        return next((TIMEOUTS[each.__module__] for each in self._backend.__mro__ if each.__module__ in TIMEOUTS), ())

    @property
    def client_options(self) -> set[str]:
        """The names of the options that the client is given a value for."""
        pool = self.options.get("CONNECTION_POOL_KWARGS") or {}  # django-redis
        locations = self.entry.get("LOCATION") or ()
        urls = [locations] if isinstance(locations, str) else locations
        queries = [name for url in urls for name in parse_qs(urlsplit(str(url)).query)]
        given = [name for options in (self.options, pool) for name, value in options.items() if value is not None]
        return {*given, *queries, *(str(name).upper() for name in pool)}


def find_missing_client(alias: Alias) -> list[Problem]:
    """Return what a cache needs and is not installed."""
    return [
        Problem(
            "flagsmith.E008",
            f"The cache {alias.name!r} needs the Python package {module!r}, which is not installed.",
            f"pip install {requirement}",
        )
        for backend, module, requirement in CLIENTS
        if alias.is_a(backend) and find_spec(module) is None
    ]


@checks_config(Tags.caches)
def check_client(config: Config) -> Iterator[CheckMessage]:
    """Report a cache whose client library is not installed."""
    for problem in find_missing_client(Alias(config.cache)):
        yield Error(problem.message, hint=problem.hint, id=problem.id)


@checks_config(Tags.caches)
def find_per_process_cache(config: Config) -> Iterator[CheckMessage]:
    """Warn of local memory under a listener in a process of its own."""
    alias = Alias(config.cache)
    if alias.is_a(LocMemCache) and config.listener == "command":
        yield Warning(
            f"The cache {alias.name!r} lives in one process: no other sees what manage.py flagsmith_listen stores.",
            hint=f'{OWN_ALIAS}, with {SHARED_CACHES}. With a single process, "LISTENER": "inline" does without.',
            id="flagsmith.W002",
        )


@checks_config(Tags.caches, deploy=True)
def find_listener_per_process(config: Config) -> Iterator[CheckMessage]:
    """Warn of local memory under an inline listener, of which each process then runs its own."""
    alias = Alias(config.cache)
    if alias.is_a(LocMemCache) and config.listener == "inline":
        yield Warning(
            f"The cache {alias.name!r} lives in one process: each holds a stream and makes requests of its own.",
            hint=f"{OWN_ALIAS}, with {SHARED_CACHES}.",
            id="flagsmith.W003",
        )


@checks_config(Tags.caches)
def find_dummy_cache(config: Config) -> Iterator[CheckMessage]:
    """Warn of a cache that keeps nothing."""
    alias = Alias(config.cache)
    if alias.is_a(DummyCache):
        yield Warning(
            f"The cache {alias.name!r} keeps nothing: all flags are what FLAGSMITH['DEFAULTS'] says, else off.",
            hint=f"{OWN_ALIAS}, with {SHARED_CACHES}. "
            'Where that is meant, list "flagsmith.W004" in SILENCED_SYSTEM_CHECKS.',
            id="flagsmith.W004",
        )


@checks_config(Tags.caches)
def find_culling_cache(config: Config) -> Iterator[CheckMessage]:
    """Warn of a shared cache that throws entries away, whatever they are, when it has 300."""
    alias = Alias(config.cache)
    if alias.is_a(DatabaseCache, FileBasedCache) and alias.is_shared and alias.has_default_size:
        yield Warning(
            f"The cache {alias.name!r} drops entries, those of the flags as well, whenever it has more than 300.",
            hint=f"{OWN_ALIAS}, or set MAX_ENTRIES in its OPTIONS above what the rest of the project stores.",
            id="flagsmith.W005",
        )


@checks_config(Tags.caches)
def find_cache_without_lease(config: Config) -> Iterator[CheckMessage]:
    """Warn of files, on which no lease can be taken."""
    alias = Alias(config.cache)
    if alias.is_a(FileBasedCache):
        yield Warning(
            f"The cache {alias.name!r} is made of files, where two listeners can't be kept from working at once.",
            hint=f"Run exactly one listener, or use {SHARED_CACHES}.",
            id="flagsmith.W006",
        )


@checks_config(Tags.caches)
def find_missing_timeouts(config: Config) -> Iterator[CheckMessage]:
    """Warn of a client that waits for long, or for ever, for a cache that hangs."""
    alias = Alias(config.cache)
    if missing := [name for name in alias.timeouts if name not in alias.client_options]:
        shown = ", ".join(f'"{name}": 1' for name in missing)
        yield Warning(
            f"The client of the cache {alias.name!r} has no {' and no '.join(missing)}: "
            "when the server hangs, a request that reads a flag may hang with it.",
            hint=f'Add to CACHES["{alias.name}"]["OPTIONS"], in seconds: {shown}.',
            id="flagsmith.W007",
        )

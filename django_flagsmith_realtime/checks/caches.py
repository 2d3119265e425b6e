"""System checks of the cache that `FLAGSMITH["CACHE"]` names."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Error, Tags, Warning

from ..conf import Config
from ..listener.preconditions import find_missing_client
from ..storage.backends import Alias
from .registry import checks_config

OWN_ALIAS = 'Give the flags an alias of their own in CACHES and name it in FLAGSMITH["CACHE"]'
SHARED_CACHES = "Redis, memcached or the database"


@checks_config(Tags.caches)
def check_client(config: Config) -> list[Error]:
    """Report a cache whose client library is not installed."""
    return find_missing_client(Alias(config.cache))


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

"""System checks of the cache that `FLAGSMITH["CACHE"]` names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from django.core.cache import caches
from django.core.cache.backends.db import DatabaseCache
from django.core.checks import CheckMessage, Error, Tags, Warning
from django.db import connections, router

from ..conf import Config
from ..storage.backends import find_unusable_client, get_backend
from .setting import checks_config

OWN_ALIAS = 'Give the flags an alias of their own in CACHES and name it in FLAGSMITH["CACHE"]'
SHARED_CACHES = "Redis, memcached or the database"


@checks_config(Tags.caches)
def check_client(config: Config) -> list[Error]:
    """Report a cache whose client library is not installed."""
    return find_unusable_client(config.cache)


@checks_config(Tags.caches, Tags.database)
def find_missing_table(config: Config, databases: Iterable[str]) -> Iterator[CheckMessage]:
    """Warn of a `DatabaseCache` without its table. No error: `migrate`, which runs this, comes before the command."""
    with suppress(Exception):  # an alias, a class or a database that can't be used is others' to report
        cache = caches.create_connection(config.cache)
        if not isinstance(cache, DatabaseCache):
            return
        database, table = router.db_for_read(cache.cache_model_class), cache.cache_model_class._meta.db_table
        if database in databases and table not in connections[database].introspection.table_names():
            yield Warning(
                f"The cache {config.cache!r} has no table {table!r}: nothing can be stored there.",
                hint="Create it: manage.py createcachetable.",
                id="flagsmith.W022",
            )


@checks_config(Tags.caches)
def find_key_function(config: Config) -> Iterator[CheckMessage]:
    """Warn of a function for keys, which may separate tenants: their flags are the same."""
    if caches.settings.get(config.cache, {}).get("KEY_FUNCTION"):
        yield Warning(
            f"The cache {config.cache!r} has a KEY_FUNCTION. The flags are stored without it: they are the same for "
            "every tenant, request and task.",
            hint=f"{OWN_ALIAS}, without a KEY_FUNCTION; a KEY_PREFIX is used. If you share the alias on purpose, list "
            '"flagsmith.W023" in SILENCED_SYSTEM_CHECKS.',
            id="flagsmith.W023",
        )


@checks_config(Tags.caches)
def find_per_process_cache(config: Config) -> Iterator[CheckMessage]:
    """Warn of local memory where the listener is a process of its own."""
    if get_backend(config.cache).is_per_process and config.listener == "command":
        yield Warning(
            f"The cache {config.cache!r} lives in one process: no other sees what manage.py flagsmith_listen stores.",
            hint=f'{OWN_ALIAS}, with {SHARED_CACHES}. For a single process, set "LISTENER": "inline" instead.',
            id="flagsmith.W002",
        )


@checks_config(Tags.caches, deploy=True)
def find_listener_per_process(config: Config) -> Iterator[CheckMessage]:
    """Warn of local memory where the listener is inline: each process then runs its own."""
    if get_backend(config.cache).is_per_process and config.listener == "inline":
        yield Warning(
            f"The cache {config.cache!r} lives in one process: each process opens its own stream and makes its own "
            "requests.",
            hint=f"{OWN_ALIAS}, with {SHARED_CACHES}.",
            id="flagsmith.W003",
        )


@checks_config(Tags.caches)
def find_dummy_cache(config: Config) -> Iterator[CheckMessage]:
    """Warn of a cache that keeps nothing."""
    if not get_backend(config.cache).keeps_entries:
        yield Warning(
            f"The cache {config.cache!r} keeps nothing: all flags are as FLAGSMITH['DEFAULTS'] says, or off.",
            hint=f'{OWN_ALIAS}, with {SHARED_CACHES}. If you mean it, list "flagsmith.W004" in SILENCED_SYSTEM_CHECKS.',
            id="flagsmith.W004",
        )


@checks_config(Tags.caches)
def find_culling_cache(config: Config) -> Iterator[CheckMessage]:
    """Warn of a cache whose other entries may push the flags out."""
    backend, params = get_backend(config.cache), caches.settings.get(config.cache, {})
    has_default_size = "max_entries" not in {key.lower() for key in (*params, *(params.get("OPTIONS") or {}))}
    if (
        backend.culls_at
        and not backend.is_per_process
        and has_default_size
        and (config.reports_usage or _is_shared(config.cache))  # counts of reads take up to a thousand entries
    ):
        yield Warning(
            f"The cache {config.cache!r} drops entries, including those of the flags, whenever it has more than "
            f"{backend.culls_at}.",
            hint=f"{OWN_ALIAS}, or set MAX_ENTRIES in its OPTIONS above what the rest of the project stores.",
            id="flagsmith.W005",
        )


def _is_shared(alias: str) -> bool:
    """Tell whether the project stores entries of its own in the same place."""
    places = {name: (each.get("BACKEND"), each.get("LOCATION")) for name, each in caches.settings.items()}
    return alias == "default" or list(places.values()).count(places[alias]) > 1


@checks_config(Tags.caches)
def find_cache_without_lease(config: Config) -> Iterator[CheckMessage]:
    """Warn of a cache whose `add` lets two processes lead at once; report one that loses counts of reads by it."""
    if get_backend(config.cache).carries_lease:
        return
    if config.reports_usage:
        yield Error(
            f"FLAGSMITH['USAGE'] doesn't work with the cache {config.cache!r}: its add() isn't atomic, so "
            "processes lose each other's counts.",
            hint=f"{OWN_ALIAS}, with {SHARED_CACHES}; or switch USAGE off.",
            id="flagsmith.E011",
        )
    else:
        yield Warning(
            f"The cache {config.cache!r} can't keep two listeners from working at once: its add() isn't atomic.",
            hint=f"Run exactly one listener, or use {SHARED_CACHES}.",
            id="flagsmith.W006",
        )


@checks_config(Tags.caches)
def find_missing_timeouts(config: Config) -> Iterator[CheckMessage]:
    """Warn of a client that waits long, or for ever, when the cache's server hangs."""
    given = _client_options(config.cache)
    if missing := [name for name in get_backend(config.cache).timeouts if name not in given]:
        shown = ", ".join(f'"{name}": 1' for name in missing)
        yield Warning(
            f"The client of the cache {config.cache!r} has no {' and no '.join(missing)}: "
            "when the server hangs, a request that reads a flag may hang with it.",
            hint=f'Add to CACHES["{config.cache}"]["OPTIONS"], in seconds: {shown}.',
            id="flagsmith.W007",
        )


def _client_options(alias: str) -> set[str]:
    """Return the names of the options that an alias gives its client a value for."""
    params = caches.settings.get(alias, {})
    options, locations = params.get("OPTIONS") or {}, params.get("LOCATION") or ()
    pool = options.get("CONNECTION_POOL_KWARGS") or {}  # django-redis and django-valkey, in lower case
    urls = [locations] if isinstance(locations, str) else locations
    queries = [name for url in urls for name in parse_qs(urlsplit(str(url)).query)]
    given = [name for each in (options, pool) for name, value in each.items() if value is not None]
    return {*given, *queries, *(str(name).upper() for name in pool)}

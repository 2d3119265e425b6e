"""Connections to Django's cache that outlive requests, and one error for all that a cache's client raises."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import wraps
from pickle import PickleError
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.redis import RedisCache
from django.db import connections, router, transaction

from ..compat import keep_redis_clients
from ..conf import explain, find_missing_cache
from ..exceptions import FlagsmithError, StoreError
from .backends import BACKENDS, get_backend

SCHEMA = 3  # of what is stored; a release that stores something else has keys, and a lease, of its own
UNREADABLE = (AttributeError, EOFError, ImportError, LookupError, PickleError, TypeError, ValueError, zlib.error)
ADVICE = {
    "too large": "Raise memcached's limit for one item: its option -I, for instance -I 8m.",
    "too big": "Raise memcached's limit for one item: its option -I, for instance -I 8m.",
    "no such table": "Create the cache's table: manage.py createcachetable.",
    "does not exist": "Create the cache's table: manage.py createcachetable.",
    "timeout": "Is the server that CACHES names busy, or cut off?",
    "timed out": "Is the server that CACHES names busy, or cut off?",
    "refused": "Is the server that CACHES names running?",
    **{
        f"no module named '{each.package}'": f"Install its client: pip install {each.requirement}."
        for each in BACKENDS.values()
        if each.package
    },
    "maxmemory": "Raise Redis's maxmemory, or let it evict other keys: its maxmemory-policy.",
}

P = ParamSpec("P")
R = TypeVar("R")


def cache_key(namespace: str, name: str) -> str:
    """Return the key under which something is stored for an environment."""
    return f"flagsmith:{SCHEMA}:{namespace}:{name}"


def read(cache: BaseCache, key: str, unreadable: Any = None) -> Any:
    """Return the value of a key; `unreadable` where another backend, serializer or Python wrote it."""
    try:
        return cache.get(key)
    except UNREADABLE:
        cache.get(f"{key}:nothing")  # raises too where the client is to blame, not the value
        return unreadable


class CacheHandle:
    """A connection to a cache that outlives requests; one for each thread where the client isn't thread-safe."""

    def __init__(self, alias: str) -> None:
        if problems := find_missing_cache(alias):
            raise InvalidCacheBackendError(explain(problems[0]))
        self._alias = alias
        self._per_thread = not get_backend(alias).is_thread_safe
        self.drop()

    def drop(self) -> None:
        """Forget the connections without closing them: after a fork, the parent still uses them."""
        self._local = threading.local()
        self._shared: BaseCache | None = None

    def close(self) -> None:
        """Close the connection of this thread; the next use opens a new one."""
        opened: BaseCache | None = getattr(self._local, "cache", self._shared)
        self.drop()
        if opened is not None:
            with suppress(Exception):  # some clients raise when what they close is broken
                opened.close()

    def get(self) -> BaseCache:
        """Return the cache to use in this thread."""
        if self._per_thread:
            if not hasattr(self._local, "cache"):
                self._local.cache = _open(self._alias)
            return cast(BaseCache, self._local.cache)
        if self._shared is None:
            self._shared = _open(self._alias)
        return self._shared


def _open(alias: str) -> BaseCache:
    cache = caches.create_connection(alias)
    if isinstance(cache, RedisCache):
        keep_redis_clients(cache)
    return cache


class HasHandle(Protocol):
    handle: CacheHandle


S = TypeVar("S", bound=HasHandle)


def cache_errors(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Decorate a method so that whatever the cache's client raises becomes a `StoreError`."""

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with savepoints(self.handle.get()):
                return method(self, *args, **kwargs)
        except FlagsmithError:
            raise
        except Exception as error:
            self.handle.close()  # pymemcache asks a server that failed no more for a minute
            _close_broken_connections()
            raise StoreError(describe(error)) from error

    return call


@contextmanager
def savepoints(cache: BaseCache) -> Iterator[None]:
    """Let a query of `DatabaseCache` that fails undo itself alone: PostgreSQL would abort the caller's transaction."""
    with ExitStack() as stack:
        if isinstance(cache, DatabaseCache):
            model = cache.cache_model_class
            for database in {router.db_for_read(model), router.db_for_write(model)}:
                if connections[database].in_atomic_block:
                    stack.enter_context(transaction.atomic(using=database))
        yield


def describe(error: Exception) -> str:
    """Return what failed, and what to do about it where that is known."""
    text = ": ".join(filter(None, (type(error).__name__, str(error).rstrip("."))))
    advice = next((advice for sign, advice in ADVICE.items() if sign in text.lower()), "")
    return f"The cache failed: {text}. {advice}".rstrip()


def _close_broken_connections() -> None:
    """Let DatabaseCache connect again. A connection that works stays: a caller may be in a transaction on it."""
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred and not connection.in_atomic_block and not connection.is_usable():
            connection.close()

"""The keys of an environment in Django's cache, and one error for all that its client raises, or hides."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from inspect import iscoroutine
from pickle import PickleError
from types import SimpleNamespace
from typing import Any, TypeVar

from django.core.cache import CacheHandler, InvalidCacheBackendError
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.redis import RedisCache
from django.db import connections, router, transaction

from ..compat import keep_redis_clients
from ..conf import explain, find_missing_cache
from ..exceptions import StoreError
from .backends import BACKENDS, get_backend, own_entries

SCHEMA = 4  # of what is stored; a release that stores something else has keys, and a lease, of its own
UNREADABLE = (AttributeError, EOFError, ImportError, LookupError, PickleError, TypeError, ValueError, zlib.error)

# Seconds after which an answer is no good: a read that found nothing may have met an error that its client hides, and
# after an error no other server is tried. Redis answers in 1 ms; clients wait for one that hangs for 1 s, as our pages
# say. On a busy machine a client that shows its errors takes as long to find nothing.
SLOW_SECONDS = 0.5

# Seconds before each try to read back what was written, half a second in all: something between may read from a
# replica, which lags behind. From a server of its own the first try, without a wait, succeeds.
READ_BACK_DELAYS = (0.0, 0.01, 0.04, 0.15, 0.3)

SERVER = "that CACHES names"
ADVICE = {  # what to do about an error, by what its text contains; the first one counts
    "too large": "Raise memcached's limit for one item: its option -I, for instance -I 8m.",
    "too big": "Raise memcached's limit for one item: its option -I, for instance -I 8m.",
    "no such table": "Create the cache's table: manage.py createcachetable.",
    'relation "': "Create the cache's table: manage.py createcachetable.",
    "doesn't exist": "Create the cache's table: manage.py createcachetable.",
    "read only": f"The first server {SERVER} must be the primary: this one is a replica, or became one.",
    "misconf": f"Redis can't save to its disk, and refuses writes until it can: see the log of the server {SERVER}.",
    "maxmemory": "Raise Redis's maxmemory, or let it evict other keys: its maxmemory-policy.",
    "noreplicas": "Redis has fewer replicas than its min-replicas-to-write, and refuses writes.",
    "loading": "Redis has just started, and reads its data from the disk.",
    "no permission": "Allow its user in Redis's ACL: get, mget, set, expire, pexpire, persist and del of *flagsmith:*.",
    "invalid username-password": "Correct the user and the password in CACHES.",
    "authenticat": f"The server {SERVER} wants a password: add it to LOCATION.",
    "timeout": f"Is the server {SERVER} busy, or cut off?",
    "timed out": f"Is the server {SERVER} busy, or cut off?",
    "refused": f"Is the server {SERVER} running?",
    "name resolution": f"Is the host {SERVER} spelled right, and known to this machine?",
    "name or service not known": f"Is the host {SERVER} spelled right, and known to this machine?",
    **{
        f"no module named '{each.package}'": f"Install its client: pip install {each.requirement}."
        for each in BACKENDS.values()
        if each.package
    },
}

T = TypeVar("T")


def cache_key(namespace: str, name: str) -> str:
    """Return the key under which something is stored for an environment."""
    return f"flagsmith:{SCHEMA}:{namespace}:{name}"


@dataclass(frozen=True)
class Unreadable:
    """Stands for a value that another backend, serializer or Python wrote."""

    error: Exception


class Cache:
    """The keys of one namespace, on connections that outlive requests; `reads` counts the keys that were read.

    Methods raise `StoreError`. There is one connection for each thread where the client isn't thread-safe.
    """

    def __init__(self, alias: str, namespace: str) -> None:
        if problems := find_missing_cache(alias):
            raise InvalidCacheBackendError(explain(problems[0]))
        self.reads = 0
        self.namespace = namespace
        self._backend = get_backend(alias)
        self._entries = own_entries(alias)
        if self._backend.package:  # now: an import that takes 2 s on a busy machine is no server that hangs
            with suppress(ImportError):  # which the first use reports
                import_module(self._backend.package)
        self.drop()

    def drop(self) -> None:
        """Forget the connections without closing them: after a fork, the parent still uses them."""
        self._opened: Any = SimpleNamespace() if self._backend.is_thread_safe else threading.local()

    def close(self) -> None:
        """Close the connection of this thread; the next use opens a new one."""
        opened: BaseCache | None = getattr(self._opened, "cache", None)
        self.drop()
        if opened is not None:
            _close(opened)

    @property
    def connection(self) -> BaseCache:
        """The connection to use in this thread."""
        opened = self._opened  # another thread may close it
        if not hasattr(opened, "cache"):
            opened.cache = _open(self._entries[0])
        cache: BaseCache = opened.cache
        return cache

    def get(self, name: str, *, from_replica: bool = False) -> Any:
        """Return a value, `Unreadable` or None. A replica answers only where it may and the primary has failed."""
        self.reads += 1
        key = cache_key(self.namespace, name)

        def read(cache: BaseCache) -> Any:
            try:
                return cache.get(key)
            except UNREADABLE as error:
                cache.get(f"{key}:nothing")  # raises too where the client is to blame, not the value
                return Unreadable(error)

        return self._ask(read, is_read=True, any_server=from_replica)

    def get_many(self, *names: str) -> list[Any]:
        """Return the values of several names by one request: for each what `get` returns."""
        self.reads += len(names)
        keys = [cache_key(self.namespace, name) for name in names]

        def read(cache: BaseCache) -> list[Any] | None:
            try:
                found = cache.get_many(keys)
            except UNREADABLE:
                return list(map(self.get, names))
            return [found.get(key) for key in keys] if found else None

        return self._ask(read, is_read=True) or [None] * len(names)

    def set(self, name: str, value: Any, timeout: float | None = None) -> None:
        self._ask(lambda cache: cache.set(cache_key(self.namespace, name), value, timeout))

    def add(self, name: str, value: Any, timeout: float | None = None) -> bool:
        return bool(self._ask(lambda cache: cache.add(cache_key(self.namespace, name), value, timeout)))

    def touch(self, name: str, timeout: float | None) -> bool:
        key = cache_key(self.namespace, name)

        def touch(cache: BaseCache) -> bool:
            try:
                return bool(cache.touch(key, timeout))
            except (AttributeError, NotImplementedError):  # such as django-bmemcached's
                value = cache.get(key)
                if value is not None:
                    cache.set(key, value, timeout)
                return value is not None

        return self._ask(touch)

    def delete(self, name: str) -> bool:
        """Remove a key; of several processes that do, only one gets True."""
        return bool(self._ask(lambda cache: cache.delete(cache_key(self.namespace, name))))

    def read_back(self, name: str, value: Any, is_expected: Callable[[Any], bool] | None = None) -> Any:
        """Return what is found where `value` was written; raise `StoreError` where it isn't that, or as expected."""
        for delay in READ_BACK_DELAYS:
            time.sleep(delay)
            found = self.get(name)
            if is_expected(found) if is_expected else found == value:
                return found
        self.close()  # a client that hides errors may have given up its server
        name = name.partition(":")[0]  # without the sequence: an outage is logged once
        if isinstance(found, Unreadable):
            raise StoreError(
                f"The cache can't read back {name!r} as it was written: {type(found.error).__name__}: {found.error}. "
                "See the serializer in its OPTIONS, and decode_responses, which must be off for pickles."
            )
        size = f"{len(value):,} {'bytes' if isinstance(value, str) else 'fields'}"
        raise StoreError(
            f"The cache did not keep {name!r} ({size}). Raise its limit for the size of an item (memcached's option "
            "-I), for memory (Redis's maxmemory) or for entries (MAX_ENTRIES), or find out who locks its database."
        )

    def _ask(self, operation: Callable[[BaseCache], T], *, is_read: bool = False, any_server: bool = False) -> T:
        """Return what a server answers: this is the one place that knows whether it did, failed, or hid an error.

        A server may have closed a connection that was idle: an error that comes at once is tried again on a new one,
        and then on the other servers in LOCATION.
        """
        began, errors = time.monotonic(), list[Exception]()
        entries = self._entries if any_server or not self._backend.has_replicas else self._entries[:1]
        with ExitStack() as spares:
            for entry in entries[:1] * hasattr(self._opened, "cache") + entries:
                try:
                    cache = self.connection if entry is entries[0] else _open(entry)
                    if entry is not entries[0]:
                        spares.callback(_close, cache)
                    with savepoints(cache):
                        answer = operation(cache)
                    took = time.monotonic() - began
                    if iscoroutine(answer):
                        answer.close()
                        raise TypeError("its class is asynchronous; name the library's other one in CACHES")
                    may_hide = is_read and answer is None and not self._backend.shows_errors
                    if may_hide and took >= SLOW_SECONDS:
                        raise TimeoutError(f"its client found nothing in {took:.1f} s, which hides a timeout")
                    return answer
                except Exception as error:
                    errors.append(error)
                    self.close()  # pymemcache asks a server that failed no more for a minute
                    _close_broken_connections()
                    if time.monotonic() - began >= SLOW_SECONDS:
                        break
        raise StoreError(describe(errors[0])) from errors[0]


def _open(entry: dict[str, Any]) -> BaseCache:
    cache = CacheHandler({"": entry}).create_connection("")
    if isinstance(cache, RedisCache):
        keep_redis_clients(cache)
    return cache


def _close(cache: BaseCache) -> None:
    with suppress(Exception):  # some clients raise when what they close is broken
        cache.close()


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

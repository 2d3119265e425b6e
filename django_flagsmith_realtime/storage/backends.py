"""What each backend of Django's cache can and can't do: the one table that everything else reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from inspect import iscoroutinefunction
from types import MappingProxyType
from typing import Any

from django.core.cache import caches
from django.core.checks import Error
from django.utils.module_loading import import_string


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The facts about a backend; the defaults are those of one that the table does not list."""

    is_per_process: bool = False  # what one process stores, no other sees
    keeps_entries: bool = True
    carries_lease: bool = True  # of several processes that `add` a key at once, one succeeds
    culls_at: int | None = None  # the number of entries at which it drops some, expired or not; MAX_ENTRIES changes it
    shows_errors: bool = False  # on our connections; else a server that fails may look like an empty one
    is_thread_safe: bool = True  # threads may share one connection
    package: str | None = None  # the Python package of its client
    requirement: str = ""  # what to `pip install` for it
    timeouts: tuple[str, ...] = ()  # the keys of OPTIONS that bound how long its client waits
    separator: str = ""  # of the servers in LOCATION, as a pattern; none where the client spreads the keys over them
    has_replicas: bool = False  # the first server in LOCATION is the primary, and the others only answer reads
    own_options: tuple[tuple[str, Any], ...] = ()  # OPTIONS of our connections, in place of the project's


_DJANGO = "django.core.cache.backends"
_CAPITALS = ("SOCKET_CONNECT_TIMEOUT", "SOCKET_TIMEOUT")
_VALKEY = Backend(
    package="django_valkey",
    requirement="django-valkey",
    timeouts=_CAPITALS,
    separator=",",
    has_replicas=True,
    shows_errors=True,
    own_options=(("IGNORE_EXCEPTIONS", False),),
)

# By the dotted path of the class, so that nothing needs to be installed. Subclasses share the facts of their base.
BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        f"{_DJANGO}.dummy.DummyCache": Backend(keeps_entries=False, shows_errors=True),
        f"{_DJANGO}.locmem.LocMemCache": Backend(is_per_process=True, culls_at=300, shows_errors=True),
        f"{_DJANGO}.filebased.FileBasedCache": Backend(
            carries_lease=False,  # its `add` is has_key, set
            culls_at=300,
            shows_errors=True,
        ),
        f"{_DJANGO}.db.DatabaseCache": Backend(culls_at=300, shows_errors=True),
        f"{_DJANGO}.redis.RedisCache": Backend(
            package="redis",
            requirement='"django-flagsmith-realtime[redis]"',
            timeouts=("socket_connect_timeout", "socket_timeout"),
            separator="[;,]",
            has_replicas=True,
            shows_errors=True,
        ),
        f"{_DJANGO}.memcached.PyMemcacheCache": Backend(
            package="pymemcache",
            requirement='"django-flagsmith-realtime[memcached]"',
            timeouts=("connect_timeout", "timeout"),
            separator="[;,]",
            shows_errors=True,
            own_options=(("ignore_exc", False),),
        ),
        # libmemcached bounds its waits by default.
        f"{_DJANGO}.memcached.PyLibMCCache": Backend(
            is_thread_safe=False, package="pylibmc", requirement="pylibmc", separator="[;,]"
        ),
        "django_bmemcached.memcached.BMemcached": Backend(
            package="bmemcached", requirement="django-bmemcached", timeouts=("socket_timeout",)
        ),
        "django_redis.cache.RedisCache": replace(_VALKEY, package="django_redis", requirement="django-redis"),
        "django_valkey.cache.ValkeyCache": _VALKEY,
        "django_valkey.cluster_cache.cache.ClusterValkeyCache": replace(_VALKEY, separator="", has_replicas=False),
    }
)


def get_backend(alias: str) -> Backend:
    """Return the facts about the backend of an alias, or of the nearest base class that the table lists.

    A class of a project's own may hide errors that its base shows.
    """
    path = str(caches.settings.get(alias, {}).get("BACKEND", ""))
    lineage = getattr(_import_class(alias), "__mro__", ())
    names = [path, *(f"{each.__module__}.{each.__qualname__}" for each in lineage)]
    name = next((name for name in names if name in BACKENDS), None)
    backend = BACKENDS[name] if name else Backend()
    return backend if name == path else replace(backend, shows_errors=False)


def _import_class(alias: str) -> Any:
    """Return the class; None where it can't be imported, which Django raises when the cache is used."""
    try:
        return import_string(str(caches.settings.get(alias, {}).get("BACKEND", "")))
    except ImportError:
        return None


def own_entries(alias: str) -> tuple[dict[str, Any], ...]:
    """Return what `CACHES` would have for our connections, one entry for each server, in the order to try them.

    They show errors, expire keys when they should, and have the same keys for all callers: a KEY_FUNCTION may read
    which tenant a request is for.
    """
    entry, backend = caches.settings[alias], get_backend(alias)
    options = {**(entry.get("OPTIONS") or {}), **dict(backend.own_options)}
    if client := options.get("CLIENT_CLASS"):  # HerdClient keeps a key for a minute longer: no `add` replaces a lease
        options["CLIENT_CLASS"] = re.sub(r"(?<=\.client\.)(herd\.)?HerdClient$", "DefaultClient", str(client))
    own = {**entry, "KEY_FUNCTION": None, "OPTIONS": options}
    servers = entry.get("LOCATION") or ""
    if not backend.separator or not servers or "Shard" in str(client):
        return (own,)
    if isinstance(servers, str):
        servers = re.split(backend.separator, servers)
    return tuple({**own, "LOCATION": [server]} for server in servers)


def find_unusable_client(alias: str) -> list[Error]:
    """Return the error of a cache whose client library is not installed, or can only be awaited."""
    backend = get_backend(alias)
    if backend.package and not find_spec(backend.package):
        what = f"The cache {alias!r} needs the Python package {backend.package!r}, which is not installed."
        return [Error(what, hint=f"pip install {backend.requirement}", id="flagsmith.E008")]
    if iscoroutinefunction(getattr(_import_class(alias), "get", None)):
        what = f"The cache {alias!r} is of an asynchronous class: it has no get() that returns a value."
        hint = f"Name the library's other class in CACHES[{alias!r}]; aget_flags() works with it."
        return [Error(what, hint=hint, id="flagsmith.E009")]
    return []

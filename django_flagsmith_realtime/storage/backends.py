"""What each backend of Django's cache can and can't do: the one table that everything else reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType

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
    is_thread_safe: bool = True  # threads may share one connection
    package: str | None = None  # the Python package of its client
    requirement: str = ""  # what to `pip install` for it
    timeouts: tuple[str, ...] = ()  # the keys of OPTIONS that bound how long its client waits


_DJANGO = "django.core.cache.backends"
_VALKEY = Backend(
    package="django_valkey", requirement="django-valkey", timeouts=("SOCKET_CONNECT_TIMEOUT", "SOCKET_TIMEOUT")
)

# By the dotted path of the class, so that nothing needs to be installed. Subclasses share the facts of their base.
BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        f"{_DJANGO}.dummy.DummyCache": Backend(keeps_entries=False),
        f"{_DJANGO}.locmem.LocMemCache": Backend(is_per_process=True, culls_at=300),
        f"{_DJANGO}.filebased.FileBasedCache": Backend(carries_lease=False, culls_at=300),  # its `add` is has_key, set
        f"{_DJANGO}.db.DatabaseCache": Backend(culls_at=300),
        f"{_DJANGO}.redis.RedisCache": Backend(
            package="redis",
            requirement='"django-flagsmith-realtime[redis]"',
            timeouts=("socket_connect_timeout", "socket_timeout"),
        ),
        f"{_DJANGO}.memcached.PyMemcacheCache": Backend(
            package="pymemcache",
            requirement='"django-flagsmith-realtime[memcached]"',
            timeouts=("connect_timeout", "timeout"),
        ),
        # libmemcached bounds its waits by default.
        f"{_DJANGO}.memcached.PyLibMCCache": Backend(is_thread_safe=False, package="pylibmc", requirement="pylibmc"),
        "django_redis.cache.RedisCache": Backend(
            package="django_redis",
            requirement="django-redis",
            timeouts=("SOCKET_CONNECT_TIMEOUT", "SOCKET_TIMEOUT"),
        ),
        "django_valkey.cache.ValkeyCache": _VALKEY,
        "django_valkey.cluster_cache.cache.ClusterValkeyCache": _VALKEY,
    }
)


def get_backend(alias: str) -> Backend:
    """Return the facts about the backend of an alias, or of the nearest base class that the table lists."""
    path = str(caches.settings.get(alias, {}).get("BACKEND", ""))
    try:
        lineage = import_string(path).__mro__
    except (ImportError, AttributeError):  # not installed, or not a class: Django raises when the cache is used
        lineage = ()
    names = [path, *(f"{each.__module__}.{each.__qualname__}" for each in lineage)]
    return next((BACKENDS[name] for name in names if name in BACKENDS), Backend())


def find_missing_client(alias: str) -> list[Error]:
    """Return the error of a cache whose client library is not installed."""
    backend = get_backend(alias)
    if backend.package is None or find_spec(backend.package):
        return []
    what = f"The cache {alias!r} needs the Python package {backend.package!r}, which is not installed."
    return [Error(what, hint=f"pip install {backend.requirement}", id="flagsmith.E008")]

"""What each backend of Django's cache can and can't do, as far as it can be known without connecting to anything."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.memcached import PyLibMCCache, PyMemcacheCache
from django.core.cache.backends.redis import RedisCache
from django.utils.module_loading import import_string

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

    def find_missing_client(self) -> tuple[str, str] | None:
        """Return the package that its backend needs and is not installed, and what to install."""
        for backend, module, requirement in CLIENTS:
            if self.is_a(backend) and find_spec(module) is None:
                return module, requirement
        return None

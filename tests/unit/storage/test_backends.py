"""What each cache backend can and can't do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.memcached import PyLibMCCache, PyMemcacheCache
from django.core.cache.backends.redis import RedisCache
from django.utils.module_loading import import_string

from django_flagsmith_realtime.storage.backends import BACKENDS, Backend, find_unusable_client, get_backend
from tests.support.cases import each_case

REDIS = {
    "package": "redis",
    "timeouts": ("socket_connect_timeout", "socket_timeout"),
    "separator": "[;,]",
    "has_replicas": True,
}
PYMEMCACHE = {
    "package": "pymemcache",
    "timeouts": ("connect_timeout", "timeout"),
    "separator": "[;,]",
    "own_options": (("ignore_exc", False),),
}
PYLIBMC = {"package": "pylibmc", "is_thread_safe": False, "separator": "[;,]"}
VALKEY = {
    "package": "django_valkey",
    "timeouts": ("SOCKET_CONNECT_TIMEOUT", "SOCKET_TIMEOUT"),
    "own_options": (("IGNORE_EXCEPTIONS", False),),
}
REPLICATED_VALKEY = {**VALKEY, "separator": ",", "has_replicas": True}


class Metered:
    """A mixin of the kind that django-prometheus puts before a backend."""


class MeteredDummy(Metered, DummyCache): ...


class MeteredLocMem(Metered, LocMemCache): ...


class MeteredFiles(Metered, FileBasedCache): ...


class MeteredFilesOfAProject(MeteredFiles): ...


class MeteredDatabase(Metered, DatabaseCache): ...


class MeteredRedis(Metered, RedisCache): ...


class MeteredPyMemcache(Metered, PyMemcacheCache): ...


class MeteredPyLibMC(Metered, PyLibMCCache): ...


reexported = FileBasedCache

# What each backend has that an unknown one has not, by its path.
FACTS: dict[str, dict[str, Any]] = {
    "django.core.cache.backends.dummy.DummyCache": {"keeps_entries": False},
    "django.core.cache.backends.locmem.LocMemCache": {"is_per_process": True, "culls_at": 300},
    "django.core.cache.backends.filebased.FileBasedCache": {"carries_lease": False, "culls_at": 300},
    "django.core.cache.backends.db.DatabaseCache": {"culls_at": 300},
    "django.core.cache.backends.redis.RedisCache": REDIS,
    "django.core.cache.backends.memcached.PyMemcacheCache": PYMEMCACHE,
    "django.core.cache.backends.memcached.PyLibMCCache": PYLIBMC,
    "django_bmemcached.memcached.BMemcached": {"package": "bmemcached", "timeouts": ("socket_timeout",)},
    "django_redis.cache.RedisCache": {**REPLICATED_VALKEY, "package": "django_redis"},
    "django_valkey.cache.ValkeyCache": REPLICATED_VALKEY,
    "django_valkey.cluster_cache.cache.ClusterValkeyCache": VALKEY,
    **{
        f"{__name__}.{name}": facts
        for name, facts in {
            "MeteredDummy": {"keeps_entries": False},
            "MeteredLocMem": {"is_per_process": True, "culls_at": 300},
            "MeteredFiles": {"carries_lease": False, "culls_at": 300},
            "MeteredFilesOfAProject": {"carries_lease": False, "culls_at": 300},
            "reexported": {"carries_lease": False, "culls_at": 300},
            "MeteredDatabase": {"culls_at": 300},
            "MeteredRedis": REDIS,
            "MeteredPyMemcache": PYMEMCACHE,
            "MeteredPyLibMC": PYLIBMC,
            "Metered": {},
        }.items()
    },
    "nowhere.Cache": {},
    "django.core.cache.backends.base.memcache_key_warnings": {},
    "": {},
}


def facts(path: str, settings: Any) -> dict[str, Any]:
    settings.CACHES = {"default": {"BACKEND": path}}
    found, unknown = vars(get_backend("default")), vars(Backend())
    apart = ("requirement", "shows_errors")
    return {name: fact for name, fact in found.items() if fact != unknown[name] and name not in apart}


def test_only_a_class_that_the_table_lists_itself_is_known_to_show_errors(settings: Any) -> None:
    shows = set()
    for path in FACTS:
        settings.CACHES = {"default": {"BACKEND": path}}
        if get_backend("default").shows_errors:
            shows.add(path)
    assert shows == BACKENDS.keys() - {
        "django.core.cache.backends.memcached.PyLibMCCache",
        "django_bmemcached.memcached.BMemcached",
    }


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the packages of other backends be missing, wherever the tests run."""
    for package in ("django_redis", "django_valkey"):
        monkeypatch.setitem(sys.modules, package, None)


@each_case(("path", "expected"), FACTS.items())
def test_a_backend_its_subclasses_and_wrappers_share_their_facts(
    path: str, expected: dict[str, Any], settings: Any
) -> None:
    assert facts(path, settings) == expected


def test_an_alias_that_is_not_there_has_no_facts() -> None:
    assert get_backend("nowhere") == Backend()


@each_case("path", [path for path in BACKENDS if path.startswith("django.")])
def test_each_of_django_s_backends_is_where_the_table_says(path: str) -> None:
    assert f"{import_string(path).__module__}.{import_string(path).__qualname__}" == path


Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return what puts a package with one module where Python finds it."""

    def write(module: str, text: str) -> None:
        monkeypatch.delitem(sys.modules, module.partition(".")[0], raising=False)
        path = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir()
        (path.parent / "__init__.py").touch()
        path.write_text(text)

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] in ("django_redis", "their_metrics")]:
        del sys.modules[name]


def test_a_wrapper_around_another_package_s_backend_has_its_facts(install: Install, settings: Any) -> None:
    install(
        "django_redis.cache", "from django.core.cache.backends.base import BaseCache\nclass RedisCache(BaseCache): ..."
    )
    install("their_metrics.cache", "from django_redis import cache\nclass RedisCache(cache.RedisCache): ...")
    assert facts("their_metrics.cache.RedisCache", settings) == FACTS["django_redis.cache.RedisCache"]
    assert find_unusable_client("default") == []


def test_a_backend_that_is_not_installed_is_an_error_with_the_package_to_install(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache"}}
    [error] = find_unusable_client("default")
    assert (error.id, error.hint) == ("flagsmith.E008", "pip install django-redis")

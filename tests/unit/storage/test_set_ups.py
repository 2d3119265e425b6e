"""Set-ups of Redis and memcached that deployments have, each with real servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches

from tests.support.caches import check_cache
from tests.support.cases import each_case
from tests.support.processes import MemcachedServer, RedisServer

pytestmark = pytest.mark.slow

DJANGO = "django.core.cache.backends"
JSON = "tests.support.caches.JSONSerializer"
NOBODY = "redis://127.0.0.1:1/0"  # a port that refuses
TENANTS = iter(range(1_000_000))


def tenant_key(key: str, key_prefix: str, version: int) -> str:
    """Make a key as django-tenants does, for callers who each are another tenant."""
    return f"tenant-{next(TENANTS)}:{key_prefix}:{version}:{key}"


# By name: the backend, and more of its entry in CACHES.
REDIS: dict[str, tuple[str, dict[str, Any]]] = {
    "Django": (f"{DJANGO}.redis.RedisCache", {}),
    "Django, JSON": (f"{DJANGO}.redis.RedisCache", {"OPTIONS": {"serializer": JSON}}),
    "Django, JSON as text": (
        f"{DJANGO}.redis.RedisCache",
        {"OPTIONS": {"serializer": JSON, "decode_responses": True}},
    ),
    "Django, a key for each tenant": (f"{DJANGO}.redis.RedisCache", {"KEY_FUNCTION": f"{__name__}.tenant_key"}),
    **{
        f"{package}, {name}": (f"{package}.cache.{class_name}", {"OPTIONS": options})
        for package, class_name in (("django_redis", "RedisCache"), ("django_valkey", "ValkeyCache"))
        for name, options in {
            "defaults": {},
            "JSON": {"SERIALIZER": f"{package}.serializers.json.JSONSerializer"},
            "zlib": {"COMPRESSOR": f"{package}.compressors.zlib.ZlibCompressor"},
            "errors ignored": {"IGNORE_EXCEPTIONS": True},
            "herd": {"CLIENT_CLASS": f"{package}.client.HerdClient"},
        }.items()
    },
}


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[RedisServer]:
    with redis_server.client() as client:
        client.acl_setuser(
            "flags",
            enabled=True,
            reset=True,
            passwords=["+secret"],
            keys=["*flagsmith:*"],
            commands=["+get", "+mget", "+set", "+expire", "+pexpire", "+persist", "+del"],
        )
        yield redis_server
        client.acl_deluser("flags")


@each_case("name", REDIS)
def test_a_client_of_redis_keeps_all_that_processes_tell_each_other(
    name: str, redis: RedisServer, settings: Any
) -> None:
    redis.reset()
    backend, more = REDIS[name]
    check_cache(settings, {"BACKEND": backend, "LOCATION": redis.url(), **more})


@each_case(
    ("name", "location"),
    {
        "a Unix socket": "unix://{socket}?db=0",
        "a user with few permissions": "redis://flags:secret@{address}/0",
        "a replica that has nothing yet": ["redis://{address}/0", "redis://{address}/1"],
        "a replica that is away": ["redis://{address}/0", NOBODY],
        "servers as text": f"redis://{{address}}/0,{NOBODY}",
    }.items(),
)
@each_case("backend", [f"{DJANGO}.redis.RedisCache", "django_redis.cache.RedisCache"])
def test_a_location_of_redis_keeps_all(
    name: str, location: str | list[str], backend: str, redis: RedisServer, settings: Any
) -> None:
    redis.reset()
    places = {"socket": redis.directory / "socket", "address": f"127.0.0.1:{redis.port}"}
    urls = [url.format(**places) for url in ([location] if isinstance(location, str) else location)]
    check_cache(settings, {"BACKEND": backend, "LOCATION": urls[0] if isinstance(location, str) else urls})


@pytest.mark.filterwarnings("ignore:.*sharded client should not specify client")  # django-redis 7 does so itself
@each_case("package", ["django_redis", "django_valkey"])
def test_shards_keep_all(package: str, redis: RedisServer, settings: Any) -> None:
    redis.reset()
    class_name = {"django_redis": "RedisCache", "django_valkey": "ValkeyCache"}[package]
    locations = [redis.url(number) for number in range(3)]
    options = {"CLIENT_CLASS": f"{package}.client.ShardClient"}
    check_cache(settings, {"BACKEND": f"{package}.cache.{class_name}", "LOCATION": locations, "OPTIONS": options})
    caches["default"].set_many({str(number): number for number in range(30)})  # ours may all fall into one shard
    with redis.client() as client:
        assert len(client.info("keyspace")) > 1, "the keys are in several shards"


@each_case("separator", ["list", ",", ";"])
@each_case("away", [(), (0,), (1,)])
def test_of_two_memcached_servers_either_may_be_away(
    separator: str, away: tuple[int, ...], memcached_server: MemcachedServer, settings: Any
) -> None:
    memcached_server.reset()
    locations = [f"127.0.0.1:{index + 1}" if index in away else memcached_server.location for index in range(2)]
    entry = memcached_server.cache()
    check_cache(settings, {**entry, "LOCATION": locations if separator == "list" else separator.join(locations)})

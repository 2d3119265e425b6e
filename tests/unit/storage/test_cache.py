"""A cache that fails, hides that it fails, or lacks something that Django's own backends have."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.memcached import PyMemcacheCache
from django.core.cache.backends.redis import RedisCache

from django_flagsmith_realtime.exceptions import StoreError
from django_flagsmith_realtime.reading.reader import get_reader
from django_flagsmith_realtime.storage import backends, cache
from django_flagsmith_realtime.storage.backends import Backend, find_unusable_client
from django_flagsmith_realtime.storage.cache import cache_key
from django_flagsmith_realtime.storage.lease import EXPIRY_MARGIN, RENEWALS, Lease
from tests.support.backends import use
from tests.support.cases import each_case
from tests.support.documents import banner, configured_store, publish
from tests.support.listening import listening
from tests.support.processes import MemcachedServer, RedisServer, wait_until
from tests.unit.storage.test_lease import Clock

Server = RedisServer | MemcachedServer


class HidingRedis(RedisCache):
    """Answers like an empty cache when Redis fails, by code of the project's own."""

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        try:
            return super().get(key, default, version)
        except Exception:
            return default


class HidingMemcached(PyMemcacheCache):
    """Answers like an empty cache when memcached fails, and asks no more for a minute."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._options |= {"ignore_exc": True, "retry_attempts": 0}


class CacheWithSlowImport(LocMemCache):
    """Imports its client when it is first used, as Django's own for Redis do."""

    def get(self, *args: Any, **kwargs: Any) -> Any:
        import_module("slow_client")
        return super().get(*args, **kwargs)


class TouchlessCache(LocMemCache):
    """Has no `touch`: django-bmemcached lacks its client's, others Django's."""

    error: type[Exception] = NotImplementedError

    def touch(self, *args: Any, **kwargs: Any) -> bool:
        raise self.error


class AsyncCache(BaseCache):
    """Only has methods to await, under the names of those that answer."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    async def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return default


def ignoring(kind: str, server: Server) -> dict[str, Any]:
    if kind == "pymemcache":
        return server.cache(ignore_exc=True)
    options = {"IGNORE_EXCEPTIONS": True, "SOCKET_CONNECT_TIMEOUT": 1, "SOCKET_TIMEOUT": 1}
    class_name = {"django_redis": "RedisCache", "django_valkey": "ValkeyCache"}[kind]
    return {"BACKEND": f"{kind}.cache.{class_name}", "LOCATION": server.cache()["LOCATION"], "OPTIONS": options}


@each_case("kind", ["pymemcache", "django_redis", "django_valkey"])
def test_an_error_that_the_settings_hide_is_one(kind: str, request: pytest.FixtureRequest, settings: Any) -> None:
    server: Server = request.getfixturevalue("memcached_server" if kind == "pymemcache" else "redis_server")
    settings.CACHES = {"default": ignoring(kind, server)}
    publish(banner_text="one")
    server.kill()
    assert caches["default"].get("anything") is None, "the project's own connection hides it"
    with pytest.raises(StoreError, match=r"refused.*Is the server that CACHES names running\?"):
        configured_store().read_head()
    server.restart()
    publish(banner_text="two")
    assert banner(get_reader().current()) == "two"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call an answer slow after a tenth of a second, so that tests need not wait for half a one."""
    monkeypatch.setattr(cache, "SLOW_SECONDS", 0.1)


@pytest.mark.usefixtures("impatient")
def test_a_miss_that_takes_as_long_as_a_timeout_is_a_failure(redis_server: RedisServer, settings: Any) -> None:
    use(settings, f"{__name__}.HidingRedis", OPTIONS={"socket_timeout": 0.15})
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": redis_server.url()}}
    publish(banner_text="one")
    assert banner(get_reader().current()) == "one"
    redis_server.freeze()
    began = time.monotonic()
    for _ in range(9):
        assert banner(get_reader().current()) == "one"
    assert time.monotonic() - began < 2, "one of them waits, and the others a second later"


@pytest.mark.usefixtures("impatient")
def test_a_server_that_takes_its_time_to_find_nothing_is_none_that_fails(
    redis_server: RedisServer, settings: Any
) -> None:
    settings.CACHES = {"default": {**redis_server.cache(), "OPTIONS": {"socket_timeout": 10}}}
    redis_server.freeze()
    timer = threading.Timer(cache.SLOW_SECONDS + 0.02, redis_server.thaw)
    timer.start()
    assert configured_store().read_head() is None
    timer.join()


@pytest.mark.usefixtures("impatient")
def test_a_client_that_takes_long_to_import_is_no_server_that_hangs(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine takes up to two seconds for `import redis`."""
    (tmp_path / "slow_client.py").write_text(f"import time\ntime.sleep({cache.SLOW_SECONDS})")
    monkeypatch.syspath_prepend(tmp_path)
    slow = {f"{__name__}.CacheWithSlowImport": Backend(package="slow_client")}
    monkeypatch.setattr(backends, "BACKENDS", {**backends.BACKENDS, **slow})
    use(settings, f"{__name__}.CacheWithSlowImport")
    assert configured_store().read_head() is None


def test_a_connection_that_hides_its_errors_is_made_anew(
    memcached_server: MemcachedServer, settings: Any, clock: Any
) -> None:
    settings.CACHES = {"default": {**memcached_server.cache(), "BACKEND": f"{__name__}.HidingMemcached"}}
    publish(banner_text="one")
    assert banner(get_reader().current()) == "one"
    memcached_server.kill()
    for _ in range(3):
        assert banner(get_reader().current()) == "one"
    memcached_server.restart()
    publish(banner_text="two")
    clock(1.1)
    get_reader().current()
    assert banner(get_reader().current()) == "two"


@each_case("kind", ["memcached", "redis"])
def test_a_connection_that_its_server_closed_costs_no_read(
    kind: str, request: pytest.FixtureRequest, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = request.getfixturevalue(f"{kind}_server")
    settings.CACHES = {"default": server.cache()}
    publish(banner_text="one")
    assert banner(get_reader().current()) == "one"
    server.kill()
    server.restart()
    publish(banner_text="two")
    assert banner(get_reader().current()) == "two"
    assert caplog.text == ""


def test_a_replica_is_read_where_the_primary_is_away(redis_server: RedisServer, settings: Any) -> None:
    settings.CACHES = {"default": redis_server.cache()}
    publish(banner_text="one")
    settings.CACHES = {"default": {**redis_server.cache(), "LOCATION": ["redis://127.0.0.1:1/0", redis_server.url()]}}
    assert banner(get_reader().current()) == "one"
    with pytest.raises(StoreError, match="refused"):
        configured_store().write_events(None, ())


@each_case("package", ["django_redis", "django_valkey"])
def test_a_lease_that_expires_is_free_although_a_client_keeps_keys_for_longer(
    package: str, redis_server: RedisServer, settings: Any
) -> None:
    redis_server.reset()
    entry = {**ignoring(package, redis_server), "OPTIONS": {"CLIENT_CLASS": f"{package}.client.HerdClient"}}
    settings.CACHES = {"default": entry}
    killed, other = leases = [Lease("default", "tests", seconds=EXPIRY_MARGIN + 0.03) for _ in range(2)]
    assert killed.acquire() is False, "it is too short to be relied on"
    wait_until(lambda: other.acquire() or other.holder == other.token)
    for lease in leases:
        lease.release()
        lease.close()


@each_case("error", [NotImplementedError, AttributeError])
def test_a_lease_is_renewed_without_touch(error: type[Exception], settings: Any) -> None:
    use(settings, f"{__name__}.TouchlessCache")
    TouchlessCache.error = error
    clock = Clock()
    lease = Lease("default", "tests", seconds=15, clock=clock)
    assert lease.acquire()
    lease.cache.connection.set(cache_key("tests", "lease"), lease.token, 0.02)
    clock.now += lease.timeout / RENEWALS
    assert lease.acquire()
    gone_by = time.monotonic() + 0.03
    wait_until(lambda: time.monotonic() > gone_by)
    assert caches["default"].get(cache_key("tests", "lease")) == lease.token
    lease.release()
    lease.close()


def test_an_asynchronous_class_is_an_error_in_words(settings: Any) -> None:
    use(settings, f"{__name__}.AsyncCache")
    [error] = find_unusable_client("default")
    assert error.id == "flagsmith.E009"
    with pytest.raises(StoreError, match="its class is asynchronous"):
        configured_store().read_head()
    assert get_reader().current() is None


@each_case("backend", ["redis", "tests.support.backends.ForgetfulCache"])
def test_a_lease_that_can_not_be_read_back_is_an_error(
    backend: str, redis_server: RedisServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "READ_BACK_DELAYS", (0.0,))
    if backend == "redis":  # Django's serializer writes pickles, which are no text
        settings.CACHES = {"default": redis_server.cache(decode_responses=True)}
    else:
        use(settings, backend)
    lease = Lease("default", "tests", seconds=15)
    said = r"read back 'lease'.*decode_responses" if backend == "redis" else "did not keep 'lease'"
    try:
        with pytest.raises(StoreError, match=said):
            lease.acquire()
        assert not lease.is_held
    finally:
        lease.close()


@pytest.fixture
def redis(redis_server: RedisServer, settings: Any) -> Iterator[Any]:
    """A client that may set Redis up in a way that refuses writes."""
    settings.CACHES = {"default": redis_server.cache()}
    with redis_server.client() as client:
        yield client
        mend(client)


def mend(client: Any) -> None:
    client.replicaof("NO", "ONE")
    client.config_set("maxmemory", 0)
    client.config_set("requirepass", "")
    client.acl_setuser("default", enabled=True, reset=True, nopass=True, keys=["*"], commands=["+@all"])


FAULTS = [
    (lambda client: client.replicaof("127.0.0.1", 1), "must be the primary"),
    (lambda client: client.config_set("maxmemory", 1), "Raise Redis's maxmemory"),
    (lambda client: client.acl_setuser("default", enabled=True, commands=["-set"]), "in Redis's ACL"),
    (lambda client: client.config_set("requirepass", "x"), "wants a password: add it to LOCATION"),
]


@each_case(("refuse", "advice"), FAULTS)
def test_a_redis_that_refuses_says_whose_setting_it_is(
    refuse: Callable[[Any], object], advice: str, redis: Any
) -> None:
    mend(redis)
    refuse(redis)
    lease = Lease("default", "tests", seconds=15)
    try:
        with pytest.raises(StoreError, match=advice):
            lease.acquire()
    finally:
        lease.close()


@pytest.mark.slow
def test_a_listener_says_that_it_can_read_the_cache_but_not_write_to_it(
    redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    redis.replicaof("127.0.0.1", 1)
    with listening(ENVIRONMENT_KEY="ser.tests", API_URL="http://127.0.0.1:1/", REALTIME_URL=None):
        wait_until(lambda: "must be the primary" in caplog.text, "the advice")
    assert [record.levelname for record in caplog.records] == ["WARNING"], "an outage is logged once"

"""Redis as deployments run it: with replicas, behind Sentinel, as a cluster, over TLS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from django_flagsmith_realtime.exceptions import StoreError
from django_flagsmith_realtime.reading.reader import drop_readers, get_reader
from tests.support.caches import check_cache
from tests.support.documents import banner, publish
from tests.support.processes import RedisServer, wait_until

pytestmark = pytest.mark.slow

DJANGO = "django.core.cache.backends.redis.RedisCache"
REDIS = "django_redis.cache.RedisCache"
VALKEY = "django_valkey.cache.ValkeyCache"
CLUSTER = "django_valkey.cluster_cache.cache.ClusterValkeyCache"


class Sentinel(RedisServer):
    """Watches a Redis, and tells clients which of its servers is the primary."""

    def __init__(self, watched: RedisServer) -> None:
        super().__init__()
        self.watched = watched

    def command(self) -> list[str]:
        configuration = self.directory / "sentinel.conf"
        configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\nsentinel monitor flags 127.0.0.1 {self.watched.port} 1\n"
            "sentinel down-after-milliseconds flags 300\nsentinel failover-timeout flags 2000\n"
        )
        return [self.path, str(configuration), "--sentinel"]


class TLSServer(RedisServer):
    """Answers on its port over TLS only."""

    def __init__(self) -> None:
        super().__init__(tls_cert_file="cert.pem", tls_key_file="key.pem", tls_auth_clients="no")
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"]
        certify = ["openssl", "req", "-x509", *key, "-out", "cert.pem", "-days", "1", *subject]
        subprocess.run(certify, cwd=self.directory, check=True, capture_output=True)

    @property
    def certificate(self) -> Path:
        return self.directory / "cert.pem"

    def command(self) -> list[str]:
        self.options |= {"port": 0, "tls-port": self.port}
        return super().command()

    def client(self, **options: Any) -> redis.Redis:
        return super().client(ssl=True, ssl_ca_certs=str(self.certificate), **options)


@pytest.fixture
def primary() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def replica(primary: RedisServer) -> Iterator[RedisServer]:
    with RedisServer(replicaof=f"127.0.0.1 {primary.port}", repl_diskless_sync_delay=0) as server:
        wait_until(lambda: server.info("replication")["master_link_status"] == "up", "the replica")
        yield server


@pytest.mark.parametrize("backend", [DJANGO, REDIS, VALKEY])
def test_a_replica_that_is_frozen_or_dead_takes_nothing_away(
    backend: str, primary: RedisServer, replica: RedisServer, settings: Any
) -> None:
    entry = {"BACKEND": backend, "LOCATION": [primary.url(), replica.url()]}
    check_cache(settings, entry)
    primary.reset()
    replica.freeze()
    check_cache(settings, entry)
    replica.kill()
    primary.reset()
    check_cache(settings, entry)


@pytest.mark.parametrize("backend", [DJANGO, REDIS, VALKEY])
def test_a_process_that_starts_while_the_primary_is_dead_reads_a_replica(
    backend: str, primary: RedisServer, replica: RedisServer, settings: Any
) -> None:
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": [primary.url(), replica.url()]}}
    publish(banner_text="one")
    with replica.client() as client:
        wait_until(lambda: client.dbsize() >= 2, "the replica")
    primary.kill()
    drop_readers()
    assert banner(get_reader().current()) == "one"


@pytest.mark.parametrize("package", ["django_redis", "django_valkey"])
@pytest.mark.parametrize("as_list", [False, True])
def test_sentinel_names_the_primary_also_after_a_failover(
    package: str, as_list: bool, primary: RedisServer, replica: RedisServer, settings: Any
) -> None:
    with Sentinel(primary) as sentinel, sentinel.client() as client:
        wait_until(lambda: client.sentinel_slaves("flags"), "that Sentinel knows the replica", timeout=20)
        client_class = f"{package}.client.SentinelClient"
        scheme = "redis" if package == "django_redis" else "valkey"
        locations = [f"{scheme}://flags/0?is_master=1", f"{scheme}://flags/0?is_master=0"]
        entry = {
            "BACKEND": REDIS if package == "django_redis" else VALKEY,
            "LOCATION": locations if as_list else f"{scheme}://flags/0",
            "OPTIONS": {"CLIENT_CLASS": client_class, "SENTINELS": [("127.0.0.1", sentinel.port)]},
        }
        if package == "django_redis":
            settings.DJANGO_REDIS_CONNECTION_FACTORY = "django_redis.pool.SentinelConnectionFactory"
        else:
            settings.DJANGO_VALKEY_CONNECTION_FACTORY = "django_valkey.pool.SentinelConnectionFactory"
        check_cache(settings, entry)
        primary.kill()
        wait_until(lambda: client.sentinel_master("flags")["port"] == replica.port, "the failover", timeout=30)
        wait_until(lambda: replica.info("replication")["role"] == "master", "the new primary")
        replica.reset()
        check_cache(settings, entry)


def test_a_cluster_keeps_all(settings: Any) -> None:
    with RedisServer(cluster_enabled="yes") as server, server.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO", NEVER_DECODE=True))
        check_cache(settings, {"BACKEND": CLUSTER, "LOCATION": server.url().replace("redis", "valkey", 1)})


@pytest.mark.parametrize("backend", [DJANGO, REDIS])
def test_tls_is_verified(backend: str, settings: Any) -> None:
    with TLSServer() as server:
        url = f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={server.certificate}"
        check_cache(settings, {"BACKEND": backend, "LOCATION": url})
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": f"rediss://127.0.0.1:{server.port}/0"}}
        with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED"):
            publish()

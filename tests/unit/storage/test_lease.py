"""The lease on each cache that can carry one, and the thread that keeps it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connections

from django_flagsmith_realtime.exceptions import StoreError
from django_flagsmith_realtime.storage.cache import cache_key
from django_flagsmith_realtime.storage.lease import Lease, LeaseKeeper
from django_flagsmith_realtime.storage.store import Store
from tests.support.cases import each_case
from tests.support.clock import Clock
from tests.support.processes import wait_until

NAMESPACE = "tests"
KEY = cache_key(NAMESPACE, "lease")
STANDBY = cache_key(NAMESPACE, "standby")


@pytest.fixture(params=["locmem", "database", "redis", "memcached"])
def cache_name(request: pytest.FixtureRequest, settings: Any) -> str:
    """Run the test on each backend of Django's that can carry a lease."""
    if request.param in ("redis", "memcached"):
        settings.CACHES = {"default": request.getfixturevalue(f"{request.param}_server").cache()}
    elif request.param == "database":
        request.getfixturevalue("database_cache")
    return str(request.param)


Leases = Callable[..., Lease]


@pytest.fixture
def leases() -> Iterator[Leases]:
    """Make leases as so many processes have them."""
    made: list[Lease] = []

    def make(*, seconds: float = 15, **more: Any) -> Lease:
        made.append(Lease("default", NAMESPACE, seconds=seconds, **more))
        return made[-1]

    yield make
    for lease in made:
        with suppress(StoreError):
            lease.release()
        lease.close()


@pytest.mark.usefixtures("cache_name")
class TestOnEachCache:
    def test_one_of_two_holds_it_until_it_releases_it_and_all_that_wait_are_known(self, leases: Leases) -> None:
        one, other = leases(), leases()
        assert (one.acquire(), other.acquire(), one.acquire()) == (True, False, True)
        assert (one.is_held, other.is_held) == (True, False)
        assert one.leader == other.leader == f"{socket.gethostname()}:{os.getpid()}"
        assert one.token != other.token
        other.release()
        assert caches["default"].get(KEY) == one.token, "only its holder releases it"
        one.release()
        assert not one.is_held
        assert other.acquire()
        for lease in (one, other, one):
            lease.write_standby()
        store = Store("default", NAMESPACE)
        assert [f"{standby}" for standby in store.read_standbys()] == [
            lease.token.rpartition(":")[0] for lease in (other, one)
        ]
        store.close()

    @pytest.mark.slow
    def test_it_expires_unless_it_is_renewed(self, leases: Leases) -> None:
        killed, waiting = leases(seconds=6), leases(seconds=6)  # three seconds in the cache
        assert killed.acquire()
        assert not waiting.acquire()
        wait_until(waiting.acquire)
        assert not killed.acquire()
        assert not killed.is_held

    @pytest.mark.slow
    def test_a_renewed_one_outlives_its_timeout(self, leases: Leases) -> None:
        renewed, waiting = leases(seconds=6), leases(seconds=6)
        watched = leases(seconds=6, clock=Clock())
        watched.cache.namespace = "watched"
        assert renewed.acquire() and watched.acquire()

        def watched_expired() -> bool:
            assert renewed.acquire()
            assert not waiting.acquire()
            return caches["default"].get(cache_key("watched", "lease")) is None

        wait_until(watched_expired)

    def test_of_many_that_ask_for_it_at_once_one_acquires_it(self, leases: Leases) -> None:
        for _ in range(3):
            candidates = [leases() for _ in range(4)]
            barrier, winners = threading.Barrier(len(candidates)), []

            def acquire(lease: Lease, barrier: Any = barrier, winners: list[Lease] = winners) -> None:
                barrier.wait()
                if lease.acquire():
                    winners.append(lease)
                connections.close_all()

            threads = [threading.Thread(target=acquire, args=(lease,)) for lease in candidates]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [lease.token for lease in winners] == [caches["default"].get(KEY)]
            winners[0].release()


@each_case("garbage", [17, ["a"], {"b": 1}, b"bytes"])
def test_a_value_that_is_not_a_lease_is_replaced(leases: Leases, garbage: object) -> None:
    caches["default"].set(KEY, garbage, None)
    assert leases().acquire()


def test_the_holder_finds_out_that_another_process_waits(leases: Leases) -> None:
    one, other = leases(), leases()
    one.acquire()
    one.write_standby()
    assert not one.has_standby(), "it does not wait for itself"
    other.write_standby()
    assert one.has_standby()


class TestByTheClock:
    def test_its_holder_stops_relying_on_it_before_the_cache_forgets_it(self, leases: Leases) -> None:
        clock = Clock()
        lease = leases(seconds=15, clock=clock)
        lease.acquire()
        clock.now += 9.9
        assert lease.is_held
        clock.now += 0.2
        assert not lease.is_held, "the cache keeps it for twelve seconds"

    def test_a_process_that_slept_does_not_name_itself_as_leader_nor_release_what_may_be_anothers(
        self, leases: Leases
    ) -> None:
        clock = Clock()
        slept = leases(clock=clock)
        assert slept.acquire()
        assert slept.leader == f"{socket.gethostname()}:{os.getpid()}"
        clock.now += 60
        assert slept.leader is None
        slept.release()
        assert caches["default"].get(KEY) == slept.token, "another may have acquired it between the read and the delete"

    def test_a_cache_that_fails_is_an_error_and_leaves_the_lease_to_the_clock(
        self, leases: Leases, settings: Any, redis_server: Any
    ) -> None:
        settings.CACHES = {"default": redis_server.cache()}
        lease = leases()
        lease.acquire()
        redis_server.kill()
        with pytest.raises(StoreError):
            lease.acquire()
        assert lease.is_held


def test_a_value_that_cannot_be_read_is_replaced(leases: Leases, settings: Any, redis_server: Any) -> None:
    settings.CACHES = {"default": redis_server.cache()}
    redis_server.put_raw(KEY, b"garbage")
    assert leases().acquire()


class Owner:
    """A process that runs a keeper."""

    def __init__(self, lease: Lease, *, reaches: bool = True) -> None:
        self.keeper = LeaseKeeper(lease, lambda: reaches)
        self.is_alive = True
        self.terms: list[int | None] = []

    def wake(self) -> None:
        self.terms.append(self.keeper.term)

    @contextmanager
    def keeping(self) -> Iterator[LeaseKeeper]:
        self.keeper.start(is_alive=lambda: self.is_alive, wake=self.wake)
        try:
            yield self.keeper
        finally:
            self.keeper.stop()


class TestKeeper:
    def test_it_acquires_the_lease_and_releases_it(self, leases: Leases) -> None:
        one, other = Owner(leases()), leases()
        with one.keeping() as keeper:
            wait_until(lambda: keeper.term == 1)
            assert not other.acquire()
        assert other.acquire()
        assert one.terms == [1]

    @pytest.mark.slow
    def test_it_acquires_what_another_releases(self, leases: Leases) -> None:
        one, other = Owner(leases()), leases()
        other.acquire()
        with one.keeping() as keeper:
            wait_until(lambda: keeper.leader == other.leader)
            assert keeper.term is None
            other.release()
            wait_until(lambda: keeper.term == 1)

    def test_a_lease_that_is_offered_goes_to_a_process_that_reaches_flagsmith(self, leases: Leases) -> None:
        one, cut_off, other = Owner(leases()), Owner(leases(), reaches=False), Owner(leases())
        with one.keeping() as leader:
            wait_until(lambda: leader.term == 1)
            with cut_off.keeping():
                wait_until(lambda: cut_off.keeper.leader == leader.leader)
                leader.offer()
                wait_until(lambda: leader.term is None)
                with other.keeping() as reaching:
                    wait_until(lambda: reaching.term == 1)
        assert one.terms == [1, None]
        assert cut_off.keeper._term == 0

    @pytest.mark.slow
    def test_a_lease_that_nobody_accepts_is_acquired_again(self, leases: Leases) -> None:
        one, cut_off = Owner(leases()), Owner(leases(), reaches=False)
        with one.keeping() as keeper:
            wait_until(lambda: keeper.term == 1)
            with cut_off.keeping():
                keeper.offer()
                wait_until(lambda: keeper.term is None)
                wait_until(lambda: keeper.term == 2 or cut_off.keeper.term == 1)

    @pytest.mark.slow
    def test_it_loses_the_lease_when_its_owner_hangs(self, leases: Leases) -> None:
        one, other = Owner(leases(seconds=8)), leases()
        with one.keeping() as keeper:
            wait_until(lambda: keeper.term == 1)
            one.is_alive = False
            wait_until(other.acquire)
            assert keeper.term is None

    @pytest.mark.slow
    def test_it_finds_out_that_another_process_waits(self, leases: Leases) -> None:
        one, other = Owner(leases(seconds=8)), leases()
        with one.keeping() as keeper:
            wait_until(lambda: keeper.term == 1)
            assert not keeper.has_standby
            other.write_standby()
            wait_until(lambda: keeper.has_standby)

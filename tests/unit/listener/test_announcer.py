"""What a process does that hears an announcement: leave it for the leader, or fetch where nobody leads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from standin.server import StandIn

from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.exceptions import StoreError
from django_flagsmith_realtime.listener import announcer
from django_flagsmith_realtime.listener.announcer import announce
from django_flagsmith_realtime.listener.factory import build_lease
from django_flagsmith_realtime.listener.on_demand import refresh_now
from django_flagsmith_realtime.reading.reader import get_reader
from django_flagsmith_realtime.signals import flags_updated
from django_flagsmith_realtime.storage.announcements import KEPT, QUEUE_CHANGE, WEBHOOK, Announcement, received_now
from django_flagsmith_realtime.storage.lease import Lease
from tests.support import documents
from tests.support.backends import HangingCache, RecordingCache, use
from tests.support.documents import FIRST, KEY, LEASE, configured_store
from tests.support.listening import listening
from tests.support.processes import wait_until
from tests.unit.listener.test_listener import banner

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(autouse=True)
def standin(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(announcer, "_announcer", announcer.Announcer())
    with StandIn(state_path=tmp_path / "flags.json", server_key=KEY) as standin:
        urls = {"API_URL": standin.api_url, "REALTIME_URL": None}
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": KEY, "WEBHOOK_SECRET": "secret", "FRESHNESS": 0, **urls}
        yield standin
        wait_until(lambda: not is_announcing())


def is_announcing() -> bool:
    return any(thread.name == "flagsmith-announce" for thread in threading.enumerate())


@pytest.fixture
def leader() -> Iterator[Lease]:
    """The lease of another process."""
    lease = build_lease(get_config())
    assert lease and lease.acquire()
    yield lease
    lease.release()
    lease.close()


def left() -> tuple[Announcement, ...]:
    return configured_store().read_inbox()[1]


def test_the_leader_finds_it_beside_no_more_than_it_remembers(leader: Lease) -> None:
    sent = [received_now(WEBHOOK, signed_at=5), *(received_now(QUEUE_CHANGE, time=time) for time in range(KEPT + 1))]
    for announcement in sent[:2]:
        announce(get_config(), announcement)
    assert left() == tuple(sent[:2])
    for announcement in sent[2:]:
        configured_store().announce(announcement)
    assert left() == tuple(sent[2:])


def test_what_is_no_announcement_is_passed_over(leader: Lease) -> None:
    announcement = received_now(WEBHOOK)
    key = LEASE.replace("lease", "announcements")
    for garbage in (b"\xff", [["webhook"], 3, {"a": 1}]):
        caches["default"].set(key, garbage)
        announce(get_config(), announcement)
        assert left() == (announcement,)


def test_of_ten_processes_at_once_none_is_overwritten(leader: Lease) -> None:
    sent = [received_now(QUEUE_CHANGE, time=time) for time in range(10)]
    threads = [threading.Thread(target=announce, args=(get_config(), announcement)) for announcement in sent]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(left()) == set(sent)


def test_a_digest_that_came_within_the_hour_is_a_repeat(leader: Lease) -> None:
    announcement = received_now(WEBHOOK)
    announce(get_config(), announcement, digest="a")
    announce(get_config(), received_now(WEBHOOK), digest="a")
    assert left() == (announcement,)


def test_another_environment_of_the_same_flagsmith_is_none_of_ours(leader: Lease, standin: StandIn) -> None:
    leader.release()
    refresh_now(get_config())
    assert leader.acquire()
    announce(get_config(), received_now(QUEUE_CHANGE, time=1), stream_key="another")
    assert left() == ()
    ours = received_now(QUEUE_CHANGE, time=2)
    announce(get_config(), ours, stream_key=standin.client_key)
    assert left() == (ours,)
    times = configured_store().read_stream_times(["another", standin.client_key])
    assert times == {"another": 1}, "our own streams get the time of what is published"


def test_a_site_without_an_environment_of_its_own_serves_the_streams_of_all(settings: Any) -> None:
    settings.FLAGSMITH = {"REALTIME_TOKEN": "token"}
    for time, key in enumerate(("one", "two", "one")):
        announce(get_config(), received_now(QUEUE_CHANGE, time=time), stream_key=key)
    assert left() == ()
    assert configured_store().read_stream_times(["one", "two", "three"]) == {"one": 2, "two": 1}


def test_a_cache_that_hangs_is_waited_for_one_second_and_no_longer(
    hanging: type[HangingCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert announcer.ANSWER_SECONDS == 1.0
    monkeypatch.setattr(announcer, "ANSWER_SECONDS", 0.05)
    hanging.open.clear()
    with pytest.raises(StoreError, match=r"took longer than 0\.05 s"):
        announce(get_config(), received_now(WEBHOOK))
    hanging.open.set()


def test_a_fetch_that_the_cache_does_not_allow_is_logged_and_the_next_leader_finds_the_announcement(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use(settings, "tests.support.backends.RecordingCache")
    get = RecordingCache.get

    def fail(self: RecordingCache, key: str, *args: Any, **kwargs: Any) -> Any:
        if key.endswith(":lease"):
            raise OSError("it is away")
        return get(self, key, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(RecordingCache, "get", fail)
        announcement = received_now(WEBHOOK)
        announce(get_config(), announcement)
        wait_until(lambda: not is_announcing())
    assert left() == (announcement,)
    assert "The fetch from Flagsmith after a webhook failed: The cache" in caplog.text


def test_where_nobody_leads_this_process_fetches_and_gives_the_lease_back(standin: StandIn) -> None:
    announce(get_config(), received_now(WEBHOOK))
    wait_until(lambda: banner() == FIRST)
    wait_until(lambda: not is_announcing())
    assert caches["default"].get(LEASE) is None
    standin.set_flag("banner_text", value="Sale")
    announce(get_config(), received_now(WEBHOOK))
    wait_until(lambda: banner() == "Sale")
    assert standin.counts.environment_document == 2
    assert standin.counts.stream == 0


def test_of_many_at_once_one_fetches_for_all(standin: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "django_flagsmith_realtime")
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: announce(get_config(), received_now(WEBHOOK)), range(60)))
        wait_until(lambda: not is_announcing())
    assert banner() == FIRST
    listeners = [record for record in caplog.records if record.getMessage() == "Flagsmith listener started"]
    assert len(listeners) < 20
    assert standin.counts.environment_document < 20


def test_requests_that_bring_nothing_are_paid_from_one_budget() -> None:
    for _ in range(4):
        announce(get_config(), received_now(WEBHOOK))
        wait_until(lambda: not is_announcing())
    budget = announcer._announcer.budget
    assert budget and budget.spent > 2.5, "the first brought the flags"


def test_what_comes_while_this_process_fetches_is_fetched_too(standin: StandIn) -> None:
    seen: list[str] = []

    def change_again(**kwargs: Any) -> None:
        seen.append(banner())
        if len(seen) == 1:
            standin.set_flag("banner_text", value="Sale")
            announce(get_config(), received_now(WEBHOOK))

    flags_updated.connect(change_again)
    try:
        announce(get_config(), received_now(WEBHOOK))
        wait_until(lambda: seen == [FIRST, "Sale"])
    finally:
        flags_updated.disconnect(change_again)


def test_a_listener_hears_it_and_asks_once_for_each(standin: StandIn) -> None:
    with listening():
        wait_until(lambda: banner() == FIRST)
        for number in range(3):
            standin.set_flag("banner_text", value=f"Sale {number}")
            announce(get_config(), received_now(WEBHOOK))
            wait_until(lambda number=number: banner() == f"Sale {number}")  # type: ignore[misc]
    assert standin.counts.environment_document == 4


def test_in_a_cache_without_a_lease_the_only_listener_hears_it_alone(
    standin: StandIn, settings: Any, tmp_path: Path
) -> None:
    files = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path / "cache")}
    settings.CACHES = {"default": files}
    with listening():
        wait_until(lambda: banner() == FIRST and configured_store().read_status())
        standin.set_flag("banner_text", value="Sale")
        announce(get_config(), received_now(WEBHOOK))
        wait_until(lambda: banner() == "Sale" and not is_announcing())
    assert standin.counts.environment_document == 2
    caches["default"].delete(LEASE.replace("lease", "status"))
    standin.set_flag("banner_text", value="Closed")
    announce(get_config(), received_now(WEBHOOK))
    wait_until(lambda: banner() == "Closed")


def test_the_process_that_listens_has_the_flags_before_freshness_is_over(standin: StandIn, settings: Any) -> None:
    settings.FLAGSMITH = {**settings.FLAGSMITH, "FRESHNESS": 60}

    def read() -> object:
        return documents.banner(get_reader(get_config()).current(60))

    with listening():
        wait_until(lambda: read() == FIRST)
        standin.set_flag("banner_text", value="Sale")
        announce(get_config(), received_now(WEBHOOK))
        wait_until(lambda: read() == "Sale")


def test_the_status_names_the_source_and_the_signal_too(standin: StandIn) -> None:
    sources: list[str | None] = []

    def note(*, source: str | None, **kwargs: Any) -> None:
        sources.append(source)

    flags_updated.connect(note)
    try:
        with listening():
            wait_until(lambda: sources == [None])
            standin.set_flag("banner_text", value="Sale")
            announce(get_config(), received_now(WEBHOOK))
            wait_until(lambda: sources == [None, WEBHOOK])
            wait_until(lambda: (status := configured_store().read_status()) and status.source(WEBHOOK))
    finally:
        flags_updated.disconnect(note)
    status = configured_store().read_status()
    assert status
    [source] = status.sources
    assert (source.name, source.announced.within(3600, status.written_at)) == (WEBHOOK, 1)
    assert source.took is not None and 0 < source.took < 10

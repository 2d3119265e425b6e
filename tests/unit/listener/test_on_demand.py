"""Fetching now: here, or by whoever leads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from standin.server import StandIn

from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.exceptions import Refused, Unreachable
from django_flagsmith_realtime.listener.announcer import announce
from django_flagsmith_realtime.listener.factory import build_lease
from django_flagsmith_realtime.listener.on_demand import Outcome, refresh_now
from django_flagsmith_realtime.signals import flags_updated
from django_flagsmith_realtime.storage.announcements import WEBHOOK, received_now
from django_flagsmith_realtime.storage.lease import Lease
from tests.support.documents import FIRST, LEASE, PREFIX, configured_store
from tests.support.processes import wait_until
from tests.unit.listener.test_listener import banner

pytestmark = pytest.mark.usefixtures("quick")

NUDGE = f"{PREFIX}:nudge"


@pytest.fixture(autouse=True)
def configured(standin: StandIn, settings: Any) -> None:
    settings.FLAGSMITH = {**standin.setting, "FRESHNESS": 0}


@pytest.fixture
def leader() -> Iterator[Lease]:
    """The lease of another process."""
    lease = build_lease(get_config())
    assert lease and lease.acquire()
    yield lease
    lease.close()


def test_it_fetches_where_nobody_leads_and_gives_the_lease_back_when_receivers_have_run(standin: StandIn) -> None:
    held = []

    def note(**kwargs: Any) -> None:
        held.append(caches["default"].get(LEASE))

    flags_updated.connect(note)
    try:
        outcome = refresh_now(get_config())
    finally:
        flags_updated.disconnect(note)
    assert held and held[0]
    assert outcome.update and outcome.leader is None
    assert banner() == FIRST
    assert caches["default"].get(LEASE) is None
    assert refresh_now(get_config()) == Outcome()
    assert standin.counts.environment_document == 2


def test_it_leaves_a_nudge_where_somebody_leads(leader: Lease, standin: StandIn) -> None:
    outcome = refresh_now(get_config())
    assert outcome == Outcome(leader=leader.leader, is_pending=True)
    assert caches["default"].get(NUDGE)
    assert standin.counts.environment_document == 0


def test_it_waits_for_the_leaders_answer(leader: Lease) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(refresh_now, get_config(), patience=10)
        wait_until(lambda: caches["default"].get(NUDGE))
        caches["default"].delete(NUDGE)
        assert waiting.result() == Outcome(leader=leader.leader)


def test_it_fetches_itself_when_the_leader_goes_meanwhile(leader: Lease) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(refresh_now, get_config(), patience=10)
        wait_until(lambda: caches["default"].get(NUDGE))
        leader.release()
        assert waiting.result().update
    assert caches["default"].get(NUDGE) is None


def test_what_is_asked_for_while_another_fetches_is_fetched_after_it(standin: StandIn) -> None:
    outcomes = []

    def change_and_ask(**kwargs: Any) -> None:
        if not outcomes:
            standin.set_flag("banner_text", value="Sale")
            outcomes.append(refresh_now(get_config()))

    flags_updated.connect(change_and_ask)
    try:
        outcome = refresh_now(get_config())
    finally:
        flags_updated.disconnect(change_and_ask)
    assert outcomes[0].is_pending
    assert outcome.update and outcome.update.previous, "the later one of two"
    assert banner() == "Sale"
    assert caches["default"].get(NUDGE) is None
    assert standin.counts.environment_document == 2


def test_a_change_that_is_announced_while_another_one_is_fetched_is_fetched_after_it(standin: StandIn) -> None:
    changed: list[object] = []

    def change_and_announce(**kwargs: Any) -> None:
        if not changed:
            changed.append(standin.set_flag("banner_text", value="Sale"))
            announce(get_config(), received_now(WEBHOOK))

    flags_updated.connect(change_and_announce)
    try:
        refresh_now(get_config())
    finally:
        flags_updated.disconnect(change_and_announce)
    assert banner() == "Sale"
    assert standin.counts.environment_document == 2


def test_a_failure_gives_the_lease_back_and_is_raised(standin: StandIn, settings: Any) -> None:
    settings.FLAGSMITH = {**settings.FLAGSMITH, "ENVIRONMENT_KEY": "ser.wrong"}
    with pytest.raises(Refused):
        refresh_now(get_config())
    assert caches["default"].get(LEASE) is None


def test_a_snapshot_file_that_cannot_be_written_is_logged_and_the_flags_are_stored(
    settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.FLAGSMITH = {**settings.FLAGSMITH, "SNAPSHOT_FILE": str(tmp_path / "missing" / "flags.json")}
    assert refresh_now(get_config()).update
    assert "can't be written" in caplog.text


def test_without_a_lease_it_just_fetches(
    settings: Any, tmp_path: Path, standin: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    files = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path / "cache")}
    settings.CACHES = {"default": files}
    assert refresh_now(get_config()).update
    assert banner() == FIRST
    assert not caplog.records


def test_many_at_once_make_few_requests(standin: StandIn) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: refresh_now(get_config(), patience=10), range(8)))
    assert not any(outcome.is_pending for outcome in outcomes)
    assert banner() == FIRST
    assert sum(outcome.update is not None for outcome in outcomes) == 1


def test_scheduled_fetches_leave_a_status_that_counts_them(standin: StandIn) -> None:
    refresh_now(get_config())
    first = configured_store().read_status()
    assert first and first.fetch
    assert (first.listens, first.interval) == (False, None)
    refresh_now(get_config())
    second = configured_store().read_status()
    assert second and second.fetch
    assert second.interval == pytest.approx(second.fetch.at - first.fetch.at)
    assert second.requests.within(3_600, second.written_at) == 2


def test_a_scheduled_fetch_that_fails_is_in_the_status_until_one_succeeds(standin: StandIn, settings: Any) -> None:
    right = settings.FLAGSMITH
    refresh_now(get_config())
    settings.FLAGSMITH = {**right, "API_URL": "http://127.0.0.1:9/"}
    for _ in range(2):
        with pytest.raises(Unreachable):
            refresh_now(get_config())
    status = configured_store().read_status()
    assert status and status.failing_since and status.failure
    assert status.failing_since < status.failure.at
    assert "refused the connection" in status.failure.text
    settings.FLAGSMITH = right
    refresh_now(get_config())
    status = configured_store().read_status()
    assert status and status.failing_since is None

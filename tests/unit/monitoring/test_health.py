"""What is found wrong, and what a probe, a machine and a person are told."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.test import override_settings

from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.environment.snapshot import Snapshot
from django_flagsmith_realtime.monitoring.health import Health, check_health
from django_flagsmith_realtime.monitoring.status_text import to_text
from django_flagsmith_realtime.storage.status import Content, Failure, Fetch, SourceStatus, Status, StreamStatus, Tally
from tests.support.backends import RecordingCache, use
from tests.support.cases import each_case
from tests.support.documents import PREFIX, configured_store, publish
from tests.unit.storage.test_status import FULL, NOW


def lead(process: str = "web-1:42") -> None:
    caches["default"].set(f"{PREFIX}:lease", f"{process}:token")


def wait(*processes: str) -> None:
    """Write that processes wait for the lease."""
    caches["default"].set(f"{PREFIX}:standby", [[f"{process}:token", NOW] for process in processes])


def led(snapshot: Snapshot | None = None, **changes: Any) -> Status:
    """Write the status of a leader that is well, but for the changes."""
    content = snapshot and Content(snapshot.version, 22, "Production", NOW - 2)
    status = replace(FULL, content=content, **changes)
    configured_store().write_status(status)
    lead()
    return status


def health(**options: Any) -> Health:
    return check_health(get_config(), configured_store(), now=NOW, **options)


def kinds(found: Health) -> list[str]:
    return [problem.kind for problem in found.problems]


def test_flags_and_a_leader_are_all_that_it_takes_and_a_problem_each_where_they_are_missing() -> None:
    found = health()
    assert kinds(found) == ["no snapshot", "no listener"]
    assert "flagsmith_listen" in found.problems[-1].text
    led()
    assert kinds(health()) == ["no snapshot"]
    led(publish())
    assert health().is_healthy
    assert health().age == 2
    caches["default"].delete(f"{PREFIX}:lease")
    assert kinds(health()) == ["no listener"]


def test_inline_it_takes_a_request() -> None:
    with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": "ser.tests", "LISTENER": "inline"}):
        assert "from their first request on" in health().problems[-1].text


def test_a_cache_that_fails_is_the_only_problem_and_shows_no_password(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(settings, "nowhere.Cache")
    [problem] = health().problems
    assert problem.kind == "cache"
    assert "nowhere" in problem.text

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OSError("redis://me:SECRET@cache/0 is away")

    use(settings, "tests.support.backends.RecordingCache")
    monkeypatch.setattr(RecordingCache, "get", fail)
    [problem] = health().problems
    assert "is away" in problem.text
    assert "SECRET" not in problem.text


@each_case(("max_age", "expected"), [(1, ["stale"]), (3, []), (None, [])])
def test_flags_are_stale_after_max_age(max_age: float | None, expected: list[str]) -> None:
    led(publish())
    assert kinds(health(max_age=max_age)) == expected


def test_flags_are_stale_after_max_stale_where_no_max_age_is_given() -> None:
    led(publish())
    with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": "ser.tests", "MAX_STALE": 1}):
        [problem] = health().problems
        assert problem.kind == "stale"
        assert problem.text == "The flags were last confirmed 2 s ago; the limit is 1 s."
        assert health(max_age=10).is_healthy


def test_flags_that_were_never_confirmed_are_stale_for_any_age() -> None:
    publish()
    lead()
    assert health().is_healthy
    [problem] = health(max_age=1e9).problems
    assert "never" in problem.text


def test_open_streams_are_counted_for_half_a_minute_after_their_process_said_so() -> None:
    assert health().open_streams == 0
    now = time.time()
    entries: list[Any] = [["a", 2, now - 29], ["b", 40, now - 31], ["c", 800, now + 31], ["d", "5", now], "e", 7]
    caches["default"].set(f"{PREFIX}:streams", entries)
    assert health().open_streams == 2
    configured_store().write_open_streams("f", 1_000)
    configured_store().write_open_streams("a", 0)
    assert health().open_streams == 1_000
    led(publish())
    assert "Pages       1,000 open streams" in to_text(health())


def test_no_clock_makes_an_age_negative() -> None:
    led(publish())
    assert check_health(get_config(), configured_store(), now=NOW - 1_000).age == 0


@each_case("garbage", [b"\x80", "text", 7, {"written_at": "now"}, [None]])
def test_garbage_instead_of_a_status_or_a_process_is_ignored(garbage: Any) -> None:
    publish()
    for key in ("status", "lease", "standby"):
        caches["default"].set(f"{PREFIX}:{key}", garbage)
    assert (health().status, health().leader, health().standbys) == (None, None, ())
    assert to_text(health())
    assert json.dumps(health().to_plain())


def test_on_a_cache_without_a_lease_the_listener_that_has_just_reported_leads(settings: Any, tmp_path: Path) -> None:
    use(settings, "django.core.cache.backends.filebased.FileBasedCache", LOCATION=str(tmp_path))
    led(publish(), written_at=NOW - 14)
    caches["default"].delete(f"{PREFIX}:lease")
    assert health().leader == "web-1:42"
    led(publish(), written_at=NOW - 16)
    caches["default"].delete(f"{PREFIX}:lease")
    assert kinds(health()) == ["no listener"]


def test_a_new_leader_is_shown_without_the_report_of_the_one_before() -> None:
    led(publish())
    lead("web-2:7")
    plain = health().to_plain()
    assert (plain["leader"]["host"], plain["leader"]["pid"], plain["leader"]["since"]) == ("web-2", 7, None)
    assert plain["stream"] is None
    assert "Listener    web-2, process 7, since a moment ago" in to_text(health())


def test_a_standby_is_shown_until_it_leads() -> None:
    led(publish())
    wait("web-1:42")  # which has just become the leader
    assert health().standbys == ()
    wait("web-2:7")
    assert health().to_plain()["leader"]["standbys"] == ["web-2:7"]
    assert "\nStandby     web-2, process 7\n" in to_text(health())
    wait("web-2:7", "web-3:8", "web-4:9")
    assert "\nStandby     web-2, process 7 and 2 more\n" in to_text(health())


# JSON


def test_the_json_has_what_the_documentation_promises() -> None:
    snapshot = publish()
    led(snapshot)
    plain = json.loads(json.dumps(health().to_plain()))
    assert plain["healthy"] is True
    assert plain["leader"]["host"] == "web-1"
    assert plain["stream"]["state"] == "connected"
    assert plain["stream"]["last_event_at"] == "2027-01-15T07:59:55.000+00:00"
    assert plain["snapshot"]["version"] == snapshot.version
    assert (plain["snapshot"]["flags"], plain["snapshot"]["age"]) == (22, 2.0)
    assert plain["snapshot"]["latency"] == {"last": 0.01, "p50": 0.02, "p99": 0.03, "count": 7}
    assert plain["requests"] == {
        "last_hour": 3,
        "last_day": 3,
        "last_at": "2027-01-15T07:59:55.000+00:00",
        "took": 0.2,
    }
    assert plain["error"]["text"] == "It failed."


def test_the_public_json_has_no_host_no_reason_and_no_error() -> None:
    led(publish(), stream=StreamStatus("backing off", NOW, "secret.host refused"), failure=Failure(NOW, "secret.host"))
    shown = json.dumps(health(max_age=1).to_plain(private=False))
    assert "stale" in shown
    assert "backing off" in shown
    for hidden in ("web-1", '"pid"', "secret.host", "remedies", "left out"):
        assert hidden not in shown
        assert hidden in json.dumps(health(max_age=1).to_plain())


def test_a_leader_that_is_gone_is_shown_as_the_last_one_alone() -> None:
    led(publish(), written_at=NOW - 90)
    caches["default"].delete(f"{PREFIX}:lease")
    plain = health().to_plain()
    assert (plain["leader"], plain["stream"]) == (None, None)
    assert plain["requests"]["last_hour"] == 3
    assert "\nListener    none; the last was web-1, process 42, 1 min 30 s ago\n" in to_text(health())


def test_a_version_that_another_process_published_has_no_counts() -> None:
    led(publish())
    publish(banner_text="by another")
    assert health().to_plain()["snapshot"]["flags"] is None
    assert "22 flags" not in to_text(health())


# Text


def test_a_healthy_deployment_reads_like_this() -> None:
    snapshot = publish()
    led(snapshot, failure=None)
    lines = to_text(health()).splitlines()
    assert lines[0] == "Health      good: the flags are what Flagsmith has, as of 2 s ago"
    assert lines[1] == "Listener    web-1, process 42, for 1 min"
    assert lines[2] == "Stream      connected for 50 s; last event 5 s ago"
    assert lines[3] == f"Snapshot    version {snapshot.version[:8]}, 22 flags of Production"
    assert lines[4].startswith("            changed 20")
    assert lines[5:] == [
        "Changes     by stream: 3 in the last day, the last one 5 s ago, stored after 10 ms",
        "            by poll: 0 in the last day, the last one 15 min ago",
        "Latency     10 ms from the last event to its flags; median 20 ms, 99 % within 30 ms (7 measured)",
        "Requests    3 in the last hour, 3 in the last day; the last one, 5 s ago, took 0.20 s",
        "Last day    0 suppressed events, 0 cache repairs",
        "Warning     Identity overrides are left out.",
    ]


def test_each_problem_has_a_line_of_its_own() -> None:
    lines = to_text(health()).splitlines()
    assert lines[0].startswith("Health      no snapshot: There are no flags in the cache.")
    assert lines[1].startswith("            no listener: Nobody is listening.")


def test_long_errors_are_wrapped_beside_their_label() -> None:
    led(publish(), failure=Failure(NOW - 60, "word " * 50))
    text = to_text(health(), width=60)
    assert all(len(line) <= 60 for line in text.splitlines())
    assert "\nLast error  1 min ago: word" in text
    assert f"\n{' ' * 12}word" in text
    assert to_text(health(), width=1)


@each_case(
    ("state", "level"),
    [("connected", "success"), ("backing off", "error"), ("poll only", "warning"), ("connecting", "warning")],
)
def test_the_state_of_the_stream_is_colored(state: str, level: str) -> None:
    led(publish(), stream=StreamStatus(state, NOW, "Why."))
    never = "" if state == "poll only" else "; no event yet"
    text = to_text(health(), style=lambda level, mark: f"<{level} {mark}>")
    assert f"Stream      <{level} {state}> for 0 s{never}. Why." in text


def test_the_reason_of_the_stream_is_not_repeated_as_last_error() -> None:
    led(publish(), stream=StreamStatus("backing off", NOW, "Why."), failure=Failure(NOW, "Why."))
    assert to_text(health()).count("Why.") == 1
    caches["default"].delete(f"{PREFIX}:lease")
    assert "Last error  0 s ago: Why." in to_text(health()).replace("just now", "0 s ago"), "nor lost"


def test_a_silent_leader_is_shown_as_such() -> None:
    led(publish(), written_at=NOW - 40)
    assert "last seen 40 s ago" in to_text(health())


# Without a listener, or with a Flagsmith that does not answer


def fetched_once(**changes: Any) -> None:
    """Write the status of a process that fetched five seconds ago, and listens no more."""
    led(publish(), listens=False, **changes)
    caches["default"].delete(f"{PREFIX}:lease")


@each_case(
    ("interval", "ago", "is_healthy"),
    [
        (60, 5, True),
        (60, 179, True),
        (60, 181, False),
        (300, 899, True),
        (5, 100, True),
        (None, 5, False),
        (86_400, 5, False),
    ],
)
def test_a_schedule_without_a_listener_is_healthy_while_its_fetches_come(
    interval: float | None, ago: float, is_healthy: bool
) -> None:
    fetched_once(interval=interval, fetch=Fetch(NOW - ago, 0.2))
    assert kinds(health()) == ([] if is_healthy else ["no listener"])


@each_case("key", ["WEBHOOK_SECRET", "REALTIME_TOKEN"])
def test_webhooks_without_a_listener_are_healthy(key: str) -> None:
    fetched_once(fetch=Fetch(NOW - 86_400, 0.2))
    assert kinds(health()) == ["no listener"]
    with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": "ser.tests", key: "a-secret-of-sixteen"}):
        assert health().is_healthy
        assert "none; last fetched by web-1, process 42" in to_text(health())


def test_a_listener_that_ended_is_missed_although_webhooks_come() -> None:
    led(publish())
    caches["default"].delete(f"{PREFIX}:lease")
    with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": "ser.tests", "WEBHOOK_SECRET": "a-secret-of-sixteen"}):
        assert kinds(health()) == ["no listener"]


@each_case(("since", "expected"), [(179, []), (181, ["failing"])])
def test_an_api_that_does_not_answer_for_three_intervals_is_failing(since: float, expected: list[str]) -> None:
    led(publish(), interval=60.0, failing_since=NOW - since, failure=Failure(NOW, "flagsmith.example failed (503)."))
    assert kinds(health()) == expected
    assert all("flagsmith.example failed (503)." in problem.text for problem in health().problems)


def test_a_file_is_not_called_flagsmith() -> None:
    led(publish(), origin="the snapshot file", failure=None, sources=(), warnings=())
    shown = to_text(health())
    assert "what the snapshot file has" in shown
    assert "Flagsmith" not in shown
    assert "Requests" not in shown


def test_the_sources_are_named_with_the_last_one_first() -> None:
    sources = (
        SourceStatus("webhook", NOW - 5, 0.31, Tally().add(NOW).add(NOW)),
        SourceStatus("poll", NOW - 3_600, None, Tally().add(NOW)),
    )
    led(publish(), sources=sources)
    shown = to_text(health())
    assert "\nChanges     by webhook: 2 in the last day, the last one 5 s ago, stored after 310 ms\n" in shown
    assert "\n            by poll: 1 in the last day, the last one 1 h ago\n" in shown
    assert [source["name"] for source in health().to_plain()["sources"]] == ["webhook", "poll"]


@each_case(("ago", "is_told"), [(9, False), (11, True)])
def test_a_webhook_that_did_not_come_is_told_ten_seconds_later(ago: float, is_told: bool) -> None:
    led(publish(), webhook_missed_at=NOW - ago)
    assert health().is_healthy
    assert ("\nWebhook     did not announce" in to_text(health())) == is_told

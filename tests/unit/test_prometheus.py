"""What a scrape finds, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from django_flagsmith_realtime import __version__
from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.monitoring.health import PROBLEMS, Health
from django_flagsmith_realtime.prometheus import FlagsmithCollector, find_metrics, metrics
from django_flagsmith_realtime.storage.status import BUCKETS, Errors, Histogram, SourceStatus, Tally
from tests.support.backends import use
from tests.support.documents import KEY, configured_store, publish
from tests.support.strategies import texts
from tests.unit.monitoring.test_health import led, wait
from tests.unit.storage.test_status import FULL, NOW

PLAIN_TALLY = Tally().add(NOW).add(NOW)


def scrape() -> dict[str, float]:
    """Return what the view answers: each sample by name and labels, without the prefix."""
    response = metrics(RequestFactory().get("/metrics"))
    assert response.status_code == 200
    return samples(parse_text(response.text))


def samples(families: Iterator[Metric]) -> dict[str, float]:
    return {
        name.removeprefix("flagsmith_realtime_") + "".join(f"{{{value}}}" for value in labels.values()): value
        for family in families
        for name, labels, value, *_ in family.samples
    }


def test_a_scrape_shows_what_the_leader_keeps_in_the_cache() -> None:
    snapshot = publish()
    led(
        snapshot,
        requests=PLAIN_TALLY,
        suppressed=PLAIN_TALLY,
        repairs=PLAIN_TALLY,
        sources=(SourceStatus("stream", NOW - 5, 0.01, PLAIN_TALLY), SourceStatus("poll", NOW - 900)),
        latencies=Histogram().add(0.02).add(0.02).add(70),
        errors=Errors(stream=3, fetch=2, cache=1),
        leaders=4,
        webhook_missed_at=NOW - 60,
    )
    wait("web-2:7", "web-3:8")
    for process, count in {"a": 3, "b": 4}.items():
        configured_store().write_open_streams(process, count)
    found = scrape()
    assert {name: value for name, value in found.items() if "bucket" not in name} == {
        f"info{{{__version__}}}": 1,
        "healthy": 1,
        **{f"problem{{{kind}}}": 0 for kind in PROBLEMS},
        "listeners{leader}": 1,
        "listeners{standby}": 2,
        "stream{connecting}": 0,
        "stream{connected}": 1,
        "stream{backing off}": 0,
        "stream{poll only}": 0,
        "flags": 22,
        "flags_known_timestamp_seconds": NOW - 2,
        "flags_published_timestamp_seconds": snapshot.published_at.timestamp(),
        "webhook_missed_timestamp_seconds": NOW - 60,
        "last_announcement_timestamp_seconds{stream}": NOW - 5,
        "last_announcement_timestamp_seconds{poll}": NOW - 900,
        "announcements_total{stream}": 2,
        "announcements_total{poll}": 0,
        "suppressed_events_total": 2,
        "document_requests_total": 2,
        "errors_total{stream}": 3,
        "errors_total{fetch}": 2,
        "errors_total{cache}": 1,
        "cache_repairs_total": 2,
        "leader_changes_total": 4,
        "open_streams": 7,
        "latency_seconds_count": 3,
        "latency_seconds_sum": 70.04,
    }
    counts = [value for name, value in found.items() if "bucket" in name]
    assert counts == [0, *[2] * (len(BUCKETS) - 1), 3]


def test_an_empty_cache_has_two_problems_and_nothing_else() -> None:
    found = scrape()
    problems = {name for name, value in found.items() if name.startswith("problem") and value}
    assert problems == {"problem{no snapshot}", "problem{no listener}"}
    assert found["healthy"] == found["listeners{leader}"] == 0
    assert not [name for name in found if "_total" in name or "_seconds" in name], "a counter would seem to be reset"


@pytest.mark.parametrize("broken", ["cache", "settings"])
def test_a_scrape_is_answered_while_the_cache_or_the_settings_are_broken(settings: Any, broken: str) -> None:
    led(publish())
    if broken == "cache":
        use(settings, "nowhere.Cache")
    else:
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": 5}
    found = scrape()
    assert {name for name, value in found.items() if value} == {f"info{{{__version__}}}", f"problem{{{broken}}}"}
    assert not [name for name in found if name.startswith("listeners")]


def test_only_a_scrape_reads_the_cache_and_as_often_as_the_status_does(recording: list[tuple[str, str]]) -> None:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(FlagsmithCollector())
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(FlagsmithCollector())
    assert recording == []
    list(registry.collect())
    assert sorted(recording) == [
        ("get", "head"),
        ("get", "lease"),
        ("get", "standby"),
        ("get", "status"),
        ("get", "streams"),
    ]


def test_it_stands_beside_the_metrics_of_the_process_and_can_be_asked_for_by_name() -> None:
    collector = FlagsmithCollector()
    REGISTRY.register(collector)
    try:
        [family] = REGISTRY.restricted_registry(["flagsmith_realtime_healthy"]).collect()
    finally:
        REGISTRY.unregister(collector)
    assert family.name == "flagsmith_realtime_healthy"


@given(st.lists(st.floats(0, 1e6)), texts(), st.integers(0, 1 << 40))
def test_whatever_was_counted_is_valid_openmetrics(latencies: list[float], source: str, count: int) -> None:
    histogram = Histogram()
    for latency in latencies:
        histogram = histogram.add(latency)
    status = replace(FULL, latencies=histogram, leaders=count, sources=(SourceStatus(source, NOW),))
    health = Health(NOW, status=status, leader=str(status.leader))

    class Found(FlagsmithCollector):
        def collect(self) -> Any:
            return find_metrics(health)

    registry = CollectorRegistry()
    registry.register(Found())
    found = samples(parse_openmetrics(generate_openmetrics(registry).decode()))
    assert found["latency_seconds_count"] == len(latencies)
    for bound in BUCKETS:
        within = found[f"latency_seconds_bucket{{{bound}}}"]
        assert within == sum(latency <= bound for latency in latencies)


def test_names_have_units_and_each_metric_says_what_it_is() -> None:
    for family in find_metrics(Health(NOW)):
        assert family.name.startswith("flagsmith_realtime")
        assert family.documentation.endswith(".")
        assert family.type != "counter" or not family.name.endswith("_total"), "the exposition adds it"
        assert not {"milliseconds", "ms", "age"} & set(family.name.split("_")), "base units, and times instead of ages"


def test_no_key_host_or_error_is_in_the_answer() -> None:
    led(publish())
    text = metrics(RequestFactory().get("/metrics")).text
    for secret in (KEY, get_config().namespace, "web-1", "It failed."):
        assert secret not in text


def test_the_view_is_for_reading_and_needs_no_login() -> None:
    assert metrics(RequestFactory().post("/metrics")).status_code == 405
    response = metrics(RequestFactory().get("/metrics"))
    assert response["Content-Type"].startswith("text/plain; version=")
    assert "no-store" in response["Cache-Control"]
    assert metrics.login_required is False  # type: ignore[attr-defined]

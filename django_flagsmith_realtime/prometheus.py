"""Metrics for Prometheus: what the leader keeps in the cache, so that each process of a deployment shows the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import accumulate

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from . import __version__
from .conf import get_config
from .monitoring.health import CACHE, PROBLEMS, SETTINGS, Health, Problem, check_health
from .reading.reader import get_reader
from .storage.status import BUCKETS, STREAM_STATES

PREFIX = "flagsmith_realtime_"  # Flagsmith's own API has metrics that begin with "flagsmith_"
UNREADABLE = {CACHE, SETTINGS}
BOUNDS = (*map(str, BUCKETS), "+Inf")

Value = float | Mapping[str, float] | None


class FlagsmithCollector(Collector):
    """Reads the metrics from the cache with each scrape, and nothing before: register it with any registry.

    A scrape never fails: where the cache or the settings do, the metrics say so.
    """

    def describe(self) -> Iterable[Metric]:
        return find_metrics(Health(now=0))

    def collect(self) -> Iterable[Metric]:
        try:
            config = get_config()
            health = check_health(config, get_reader(config).store)
        except ImproperlyConfigured:  # manage.py check explains it
            health = Health(now=0, problems=(Problem(SETTINGS, ""),))
        return find_metrics(health)


@login_not_required
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the metrics of this package, and no others, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(FlagsmithCollector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def find_metrics(health: Health) -> Iterator[Metric]:
    """Yield all metrics; what is not known has no sample."""
    status, report, head, content = health.status, health.leader_status, health.head, health.content
    problems = {problem.kind for problem in health.problems}
    listeners = {"leader": health.leader is not None, "standby": len(health.standbys)}
    yield InfoMetricFamily("flagsmith_realtime", "The version of the package.", {"version": __version__})
    yield _gauge("healthy", "Whether the deployment is healthy.", health.is_healthy)
    yield _gauge("problem", "What is wrong.", {kind: kind in problems for kind in PROBLEMS}, "kind")
    yield _gauge("listeners", "Processes that listen.", {} if problems & UNREADABLE else listeners, "role")
    states = {state: state == report.stream.state for state in STREAM_STATES} if report else {}
    yield _gauge("stream", "The state of the stream from Flagsmith.", states, "state")

    yield _gauge("flags", "Flags of the environment.", content.flags if content else None)
    known_at = status.content.known_at if status and status.content else None
    yield _gauge("flags_known_timestamp_seconds", "When the flags were known to be what Flagsmith has.", known_at)
    published_at = head.published_at / 1_000_000 if head else None
    yield _gauge("flags_published_timestamp_seconds", "When the flags were stored in the cache.", published_at)
    missed_at = status.webhook_missed_at if status else None
    yield _gauge("webhook_missed_timestamp_seconds", "When the webhook missed a change, until one comes.", missed_at)

    sources = status.sources if status else ()
    last = {source.name: source.at for source in sources}
    totals = {source.name: source.announced.total for source in sources}
    yield _gauge("last_announcement_timestamp_seconds", "When a source last announced a change.", last, "source")
    yield _counter("announcements", "Changes that a source announced, or polls found.", totals, "source")
    yield _counter("suppressed_events", "Events that were known.", status.suppressed.total if status else None)
    yield _counter("document_requests", "Requests that Flagsmith bills.", status.requests.total if status else None)
    yield _counter("errors", "What failed.", asdict(status.errors) if status else {}, "kind")
    yield _counter("cache_repairs", "Flags that the cache had lost.", status.repairs.total if status else None)
    yield _counter("leader_changes", "Listeners that began to lead.", status.leaders if status else None)
    latency = HistogramMetricFamily(f"{PREFIX}latency_seconds", "From an announcement until its flags are stored.")
    if status:
        counts = accumulate(status.latencies.counts)
        latency.add_metric([], [*zip(BOUNDS, counts, strict=True)], status.latencies.sum)
    yield latency
    yield _gauge("open_streams", "Open pages and other programs that wait for changes.", health.open_streams)


def _gauge(name: str, text: str, value: Value, label: str = "") -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=[label] if label else [])
    return _fill(family, value)


def _counter(name: str, text: str, value: Value, label: str = "") -> Metric:
    return _fill(CounterMetricFamily(PREFIX + name, text, labels=[label] if label else []), value)


def _fill(family: GaugeMetricFamily | CounterMetricFamily, value: Value) -> Metric:
    """Add a sample, or one for each value of the label."""
    for label, each in value.items() if isinstance(value, Mapping) else [(None, value)]:
        if each is not None:
            family.add_metric([label] if label else [], each)
    return family

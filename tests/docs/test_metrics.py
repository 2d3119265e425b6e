"""The metrics on their page, in the dashboard and in the alerts, compared with those that a scrape has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import yaml
from prometheus_client import Metric

from django_flagsmith_realtime.monitoring.health import Health
from django_flagsmith_realtime.prometheus import find_metrics
from tests.docs.pages import names, table
from tests.support.cases import each_case
from tests.support.paths import DOCS
from tests.unit.storage.test_status import FULL, NOW

PREFIX = "flagsmith_realtime_"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",), "gauge": ("",)}
ALERTS = DOCS / "prometheus/alerts.yml"
DASHBOARD = json.loads((DOCS / "prometheus/dashboard.json").read_text())


def collected() -> list[Metric]:
    """Return the metrics of a deployment of which all is known."""
    return list(find_metrics(Health(NOW, status=FULL, leader=str(FULL.leader), open_streams=1)))


def labels_by_name() -> dict[str, set[str]]:
    """Return the labels of each metric that a query may name."""
    return {
        family.name + suffix: {"job", *(label for sample in family.samples for label in sample.labels)}
        for family in collected()
        for suffix in SUFFIXES[family.type]
    }


def panels_queries() -> Iterator[tuple[str, str]]:
    """Yield each query of the dashboard with its legend."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"], target.get("legendFormat", "")
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["expr"], ""
    for variable in DASHBOARD["templating"]["list"]:
        yield variable["query"]["query"], ""


def alerts_queries() -> list[tuple[str, str]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    return [(rule["expr"], "") for rule in group["rules"]]


def test_the_page_has_each_metric_with_its_type_and_label() -> None:
    shown = {}
    for family in collected():
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        name = f"{family.name}{suffix}{{{labels[0]}}}" if labels else f"{family.name}{suffix}"
        shown[name.removeprefix(PREFIX)] = family.type.replace("info", "gauge")
    told = {names(name)[0]: type_ for name, type_, _ in table(DOCS / "howto/metrics.md", "name")}
    assert told == shown


@each_case(("query", "legend"), [*panels_queries(), *alerts_queries()])
def test_each_query_names_metrics_and_labels_that_are_there(query: str, legend: str) -> None:
    known = labels_by_name()
    asked = set(re.findall(rf"{PREFIX}\w+", query))
    assert asked
    assert asked <= known.keys()
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")}
    selected = set(re.findall(r"(\w+)=", query))
    for name in asked:
        assert grouped | selected <= known[name]
    assert set(re.findall(r"{{(\w+)}}", legend)) <= grouped - {"le"}


def test_the_dashboard_shows_each_metric() -> None:
    shown = " ".join(query for query, _ in panels_queries())
    assert [family.name for family in collected() if not re.search(rf"{family.name}(_\w+)?{{", shown)] == []


def test_grafana_can_import_the_dashboard() -> None:
    [source] = DASHBOARD["__inputs"]
    name = f"${{{source['name']}}}"
    panels = DASHBOARD["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {name}
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells

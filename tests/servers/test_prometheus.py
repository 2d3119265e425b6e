"""Prometheus' own tool, and processes that are scraped."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from standin.server import StandIn

from django_flagsmith_realtime import get_flags
from tests.docs.test_metrics import ALERTS, panels_queries
from tests.support.documents import FIRST
from tests.support.listening import listening
from tests.support.processes import RedisServer, require, wait_until
from tests.support.web_servers import GUNICORN, WebServer
from tests.unit.test_prometheus import parse_text, samples

WORKERS = 4
OURS = "flagsmith_realtime_"


def promtool(*arguments: object, text: str = "") -> None:
    command = [require("promtool"), *map(str, arguments)]
    done = subprocess.run(command, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def cache(redis_server: RedisServer, settings: Any) -> dict[str, Any]:
    settings.CACHES = {"default": redis_server.cache()}
    return redis_server.cache()


def scrape_each(server: WebServer) -> dict[str, str]:
    """Return by process what each worker shows of this package."""
    found: dict[str, str] = {}

    def all_answered() -> bool:
        *lines, process = server.get("/all-metrics/").splitlines()
        found[process] = "\n".join(line for line in lines if OURS in line)
        return len(found) == WORKERS

    wait_until(all_answered, "an answer of each worker", timeout=30)
    return found


def test_each_worker_answers_the_same_as_promtool_wants_it(
    cache: dict[str, Any], standin: StandIn, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FLAGSMITH = standin.setting
    with listening():
        wait_until(lambda: standin.counts.open_streams == 1 and get_flags().get_feature_value("banner_text") == FIRST)
        assert standin.set_flag("banner_text", value="Hello")
        wait_until(lambda: get_flags().get_feature_value("banner_text") == "Hello", "the change")
    monkeypatch.setenv("TEST_APPS", "tests.support.metrics.MetricsConfig")
    with WebServer(cache, *GUNICORN, f"--workers={WORKERS}", "--preload", **standin.setting) as server:
        [text] = set(scrape_each(server).values())
        assert set(text.splitlines()) == set(server.get("/flagsmith/metrics").splitlines())
    promtool("check", "metrics", text=f"{text}\n")
    found = samples(parse_text(text))
    assert found["announcements_total{stream}"] == found["latency_seconds_count"] == found["leader_changes_total"] == 1
    assert found["document_requests_total"] >= 2


def test_promtool_reads_each_query_of_the_dashboard_and_the_alerts(tmp_path: Path) -> None:
    promtool("check", "rules", ALERTS)
    queries = [query for query, _ in panels_queries() if not query.startswith("label_values(")]  # which is Grafana's
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "1m")}
        for number, query in enumerate(queries)
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")

"""The code of docs/recipes.md, run as it stands."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.core.management import get_commands
from django.test import override_settings

from django_flagsmith_realtime import signals
from django_flagsmith_realtime.refresh import Update, announce
from django_flagsmith_realtime.signals import RobustSignal
from django_flagsmith_realtime.status import Leader

from .documents import publish

PAGE = (Path(__file__).parent.parent / "docs/recipes.md").read_text()


@pytest.fixture
def recipe() -> Iterator[Any]:
    """Run the code under a heading; its receivers are gone at the end."""
    every = [signal for signal in vars(signals).values() if isinstance(signal, RobustSignal)]
    before = {signal: list(signal.receivers) for signal in every}

    kept = []

    def run(heading: str) -> None:
        [code] = re.findall(rf"^## {heading}.*?^```python\n(.*?)^```$", PAGE, re.M | re.S)
        namespace: dict[str, Any] = {"__name__": "recipe"}
        exec(code, namespace)
        kept.append(namespace)  # receivers are held weakly

    yield run
    for signal in every:
        signal.receivers = before[signal]
        signal.sender_receivers_cache.clear()
    for namespace in kept:
        if "statsd" in namespace:
            namespace["statsd"].close()


def change_banner() -> None:
    previous = publish()
    announce(Update.between(previous, publish(banner_text="Sale")))


class Cdn(BaseHTTPRequestHandler):
    seen: list[tuple[str | None, bytes]]

    def do_POST(self) -> None:
        type(self).seen.append((self.headers["Authorization"], self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None: ...


def test_a_change_purges_the_page_cache_and_the_cdn(recipe: Any) -> None:
    Cdn.seen = []
    locmem = "django.core.cache.backends.locmem.LocMemCache"
    pages = {"default": {"BACKEND": locmem}, "pages": {"BACKEND": locmem, "LOCATION": "pages"}}
    with HTTPServer(("127.0.0.1", 0), Cdn) as cdn:
        thread = threading.Thread(target=cdn.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{cdn.server_port}/purge"
        with override_settings(CACHES=pages, CDN_PURGE_URL=url, CDN_TOKEN="token"):
            recipe("Purge a page cache")
            caches["pages"].set("page", "old")
            change_banner()
            assert caches["pages"].get("page") is None
        thread.join(10)
    assert Cdn.seen == [("Bearer token", b'{"tags": ["flag-banner_text"]}')]


def test_statsd_gets_the_figures(recipe: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(5)
        with override_settings(STATSD_ADDRESS=statsd.getsockname()):
            recipe("Send figures to StatsD")
            change_banner()
            signals.listener_became_leader.send(Leader, host="web-1", pid=42)
            signals.stream_connected.send(Leader, outage=None)
            signals.stream_disconnected.send(Leader, error=None)
            signals.stream_connected.send(Leader, outage=1.5)
            lines = [statsd.recv(1000).decode() for _ in range(7)]
    assert lines == [
        "flagsmith.updates:1|c",
        "flagsmith.changed_flags:1|c",
        "flagsmith.leaders:1|c",
        "flagsmith.stream_is_open:1|g",
        "flagsmith.stream_is_open:0|g",
        "flagsmith.stream_is_open:1|g",
        "flagsmith.stream_outage:1500|ms",
    ]


def test_the_probe_is_a_command_that_there_is() -> None:
    assert "flagsmith_status" in get_commands()
    assert '[python, manage.py, flagsmith_status, --max-age, "900"]' in PAGE

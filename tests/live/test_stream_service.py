"""The site of example_project/stream_service: Flagsmith posts to one process of it, and the SDKs stream from any."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
import yaml

from tests.support.open_pages import OpenPages
from tests.support.paths import EXAMPLE_PROJECT
from tests.support.processes import RedisServer, ServerProcess

HERE = EXAMPLE_PROJECT / "stream_service"
COMPOSE = yaml.safe_load((HERE / "compose.yaml").read_text())["services"]
TOKEN = "the-token-of-the-tests"


class StreamService(ServerProcess):
    """The site, started as the compose file does."""

    program = sys.executable

    def __init__(self, redis: RedisServer) -> None:
        super().__init__()
        self._redis = redis

    def command(self) -> list[str]:
        program, *arguments = COMPOSE["streams"]["command"]
        here = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=8000": f"--port={self.port}"}
        return [
            self.path,
            "-m",
            program,
            *(here.get(argument, argument) for argument in arguments),
            f"--app-dir={HERE}",
        ]

    def environment(self) -> dict[str, str]:
        values = {"ALLOWED_HOSTS": "127.0.0.1", "REALTIME_TOKEN": TOKEN, "REDIS_URL": self._redis.url()}
        return {**os.environ, **COMPOSE["streams"]["environment"], **values}

    def answers(self) -> bool:
        try:
            return self.queue_change("a-key", 1.0, token="another") == 401
        except OSError:
            return False

    def queue_change(self, key: str, updated_at: object, *, token: str = TOKEN) -> int:
        """Post what Flagsmith's API posts; return the status of the answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
            body = json.dumps({"updated_at": updated_at})
            connection.request("POST", f"/sse/environments/{key}/queue-change", body, headers)
            return connection.getresponse().status


@pytest.fixture(scope="module")
def services(redis_process: RedisServer) -> Iterator[list[StreamService]]:
    """Two processes of the site."""
    services = [StreamService(redis_process), StreamService(redis_process)]
    try:
        for service in services:
            service.start()
        yield services
    finally:
        for service in services:
            service.terminate()
            service.end()


def stream(service: StreamService, key: str) -> OpenPages:
    return OpenPages(service.port, f"/sse/environments/{key}/stream", 3)


def test_a_change_that_is_posted_to_one_process_is_streamed_by_all_and_replayed(services: list[StreamService]) -> None:
    first, second = services
    with stream(first, "one") as here, stream(second, "one") as there, stream(second, "two") as other:
        for pages in (here, there, other):
            pages.wait_for(b"\r\n\r\n")
        assert first.queue_change("one", "2026-11-22T18:39:46.808034+00:00") == 200
        for pages in (here, there):
            pages.wait_for(b'event: environment_updated\r\ndata: {"updated_at": 1795372786.808034}\r\n')
        with stream(second, "one") as late:
            late.wait_for(b"1795372786.808034")
        assert second.queue_change("two", "2026-11-22T18:39:47+00:00") == 200
        other.wait_for(b"environment_updated")
        own = b'\r\ndata: {"updated_at": 1795372787.0}\r\n'
        assert all(received.startswith(own) for received in other.received), "the times of no other environment"


def test_the_site_passes_the_checks() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "REALTIME_TOKEN": TOKEN}
    command = [sys.executable, "-m", "django", "check", "--tag=flagsmith", "--deploy", "--fail-level=INFO"]
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_compose_file_gives_the_site_and_flagsmith_what_they_read() -> None:
    read = set(re.findall(r'environ(?:\.get\(|\[)"(\w+)"', (HERE / "settings.py").read_text()))
    assert read == COMPOSE["streams"]["environment"].keys() - {"DJANGO_SETTINGS_MODULE"}
    flagsmith = COMPOSE["flagsmith"]["environment"]
    assert flagsmith["SSE_AUTHENTICATION_TOKEN"] == COMPOSE["streams"]["environment"]["REALTIME_TOKEN"]
    assert flagsmith["SSE_SERVER_BASE_URL"] == "http://streams:8000"
    assert "streams" in COMPOSE["streams"]["environment"]["ALLOWED_HOSTS"].split(",")

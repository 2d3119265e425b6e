"""The Procfiles serve flags, from Flagsmith's stand-in, and stop cleanly."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from standin.server import StandIn

from tests.example_project.deploy import files
from tests.support.paths import EXAMPLE_PROJECT
from tests.support.processes import RedisServer, ServerProcess, wait_until

BIN = Path(sys.executable).parent

pytestmark = pytest.mark.slow


class Honcho(ServerProcess):
    """Runs a Procfile."""

    program = str(BIN / "honcho")

    def __init__(self, procfile: Path, environment: dict[str, str]) -> None:
        super().__init__()
        self._procfile = procfile
        self._environment = environment

    def command(self) -> list[str]:
        here = ["env", "--chdir", str(EXAMPLE_PROJECT)]
        return [*here, self.path, "start", "-f", str(self._procfile), "-p", str(self.port), "-e", os.devnull]

    def environment(self) -> dict[str, str]:
        return self._environment

    def answers(self) -> bool:
        try:
            return bool(self.get("/snapshot/"))
        except OSError:
            return False

    def get(self, path: str) -> Any:
        """Return what the site answers; raise `OSError` where nothing does."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        assert response.status == 200, f"{path}: {response.status}, {body!r}\n{self.log()}"
        return json.loads(body)

    def version(self) -> str | None:
        """Return the version that one of the workers reads; None where it found none a moment ago."""
        snapshot = self.get("/snapshot/")["snapshot"]
        return snapshot and snapshot["version"]


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(state_path=tmp_path / "flags.json", server_key="ser.of-the-tests") as standin:
        yield standin


@pytest.fixture(params=files.PROCFILES, ids=lambda path: path.name)
def honcho(request: pytest.FixtureRequest, standin: StandIn, redis_server: RedisServer) -> Iterator[Honcho]:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "SECRET_KEY": "of the tests",
        "REDIS_URL": redis_server.url(0),
        "CELERY_BROKER_URL": redis_server.url(1),
        "FLAGSMITH_ENVIRONMENT_KEY": standin.server_key,
        "FLAGSMITH_API_URL": standin.api_url,
        "FLAGSMITH_REALTIME_URL": standin.realtime_url,
    }
    honcho = Honcho(request.param, environment)
    try:
        honcho.start()
        yield honcho
    finally:
        honcho.terminate(20)
        honcho.end()


def test_a_procfile_serves_each_update_and_stops_cleanly(honcho: Honcho, standin: StandIn) -> None:
    first = wait_until(honcho.version, "the first flags", 20)
    wait_until(lambda: standin.counts.open_streams == 1, "the stream")
    assert honcho.get("/flagsmith/health/")["healthy"] is True
    standin.set_flag("new_checkout", enabled=True)
    wait_until(lambda: honcho.version() not in (None, first), "the update")
    assert standin.counts.environment_document == 2
    honcho.send(signal.SIGTERM)
    assert honcho.process
    honcho.process.wait(20)
    assert standin.counts.open_streams == 0
    assert not honcho.answers()
    assert "Traceback" not in honcho.log()
    assert standin.server_key not in honcho.log()

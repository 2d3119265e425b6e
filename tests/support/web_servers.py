"""Web servers of the test project, in processes of their own."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.support.paths import ROOT
from tests.support.processes import ServerProcess, project_environment

GUNICORN = ("gunicorn", "tests.support.project.wsgi:application", "--bind=127.0.0.1:{port}")
GUNICORN_ASGI = (
    "gunicorn",
    "tests.support.project.asgi:application",
    "--worker-class=uvicorn.workers.UvicornWorker",
    "--bind=127.0.0.1:{port}",
)
UVICORN = (
    "uvicorn",
    "tests.support.project.asgi:application",
    "--port={port}",
    "--log-level=warning",
    "--lifespan=off",
)
RUNSERVER = ("django", "runserver", "127.0.0.1:{port}")


class WebServer(ServerProcess):
    """`arguments` are those of a Python module that serves; `{port}` in them is replaced."""

    program = sys.executable

    def __init__(self, cache: dict[str, Any], *arguments: str, **setting: Any) -> None:
        super().__init__()
        self.cache = cache
        self.setting = {"ENVIRONMENT_KEY": "ser.tests", **setting}
        self.arguments = arguments

    def command(self) -> list[str]:
        return [self.path, "-m", *(argument.format(port=self.port) for argument in self.arguments)]

    def environment(self) -> dict[str, str]:
        return {**project_environment(self.setting, self.cache), "PYTHONPATH": str(ROOT)}

    def answers(self) -> bool:
        try:
            return self.get("/none/") == "none"
        except OSError:
            return False

    @contextmanager
    def connect(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            yield connection
        finally:
            connection.close()

    def get(self, *paths: str, headers: Mapping[str, str] = {}) -> str:
        """Return the last answer's text; all come over one connection."""
        text = ""
        with self.connect() as connection:
            for path in paths:
                connection.request("GET", path, headers=dict(headers))
                response = connection.getresponse()
                text = response.read().decode()
                assert response.status == 200, f"{response.status} {text}"
        return text

    def end(self) -> None:
        self.terminate()
        super().end()

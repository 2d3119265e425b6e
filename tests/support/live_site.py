"""A site that serves open pages and other programs, in a process of its own, and clients of its streams."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.paths import ROOT
from tests.support.web_servers import WebServer

APPLICATION = "tests.support.live_project.asgi:application"
UVICORN = ("uvicorn", APPLICATION, "--port={port}", "--log-level=warning", "--lifespan=off")
GUNICORN_UVICORN = ("gunicorn", APPLICATION, "--worker-class=uvicorn_worker.UvicornWorker", "--bind=127.0.0.1:{port}")
GRANIAN = ("granian", "--interface=asginl", "--port={port}", "--log-level=warning", APPLICATION)
HYPERCORN = ("hypercorn", "--bind=127.0.0.1:{port}", APPLICATION)
GUNICORN = ("gunicorn", "tests.support.live_project.wsgi:application", "--bind=127.0.0.1:{port}")

PAGE_STREAM = "/flagsmith/ofrep/v1/stream"


def sdk_stream(key: str) -> str:
    """Return the path of the stream for Flagsmith's SDKs."""
    return f"/flagsmith/sse/environments/{key}/stream"


class LiveSite(WebServer):
    """A site with users, whose database is an SQLite file of its own where none is given.

    `middleware` comes before ours. `identity` names the session's user, as `/login/alice/` logs in.
    """

    def __init__(
        self,
        cache: dict[str, Any],
        *arguments: str,
        database: dict[str, Any] | None = None,
        middleware: str = "",
        **setting: Any,
    ) -> None:
        setting = {"IDENTITY": "tests.support.live_project.views.identify", **setting}
        super().__init__(cache, *arguments or UVICORN, **setting)
        self.database = database or {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(self.directory / "site.sqlite3"),
        }
        self.middleware = middleware

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "DJANGO_SETTINGS_MODULE": "tests.support.live_project.settings",
            "TEST_DATABASE": json.dumps(self.database),
            "TEST_MIDDLEWARE": self.middleware,
        }

    def start(self) -> None:
        migrate = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity=0"]
        subprocess.run(migrate, env=self.environment(), cwd=ROOT, check=True)
        super().start()


@contextmanager
def live_site(cache: dict[str, Any], *arguments: str, **options: Any) -> Iterator[LiveSite]:
    """Run a site, under uvicorn where no arguments say otherwise; `options` are those of `LiveSite`."""
    site = LiveSite(cache, *arguments, **options)
    try:
        site.start()
        yield site
    finally:
        site.end()

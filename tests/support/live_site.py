"""A site that serves open pages and other programs, in a process of its own, and clients of its streams."""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
from typing import Any

from tests.support.paths import ROOT
from tests.support.processes import require, wait_until
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
        file_descriptors: int | None = None,
        **setting: Any,
    ) -> None:
        setting = {"IDENTITY": "tests.support.live_project.views.identify", **setting}
        super().__init__(cache, *arguments or UVICORN, **setting)
        self.database = database or {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(self.directory / "site.sqlite3"),
        }
        self.middleware = middleware
        self._limits = [require("prlimit"), f"--nofile={file_descriptors}"] if file_descriptors else []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [*self._limits, *super().command()]

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "DJANGO_SETTINGS_MODULE": "tests.support.live_project.settings",
            "TEST_DATABASE": json.dumps(self.database),
            "TEST_MIDDLEWARE": self.middleware,
        }

    def start(self) -> None:
        migrate = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--skip-checks", "--verbosity=0"]
        subprocess.run(migrate, env=self.environment(), cwd=ROOT, check=True)
        super().start()

    def login(self, name: str) -> str:
        """Return the cookie of a session of this user."""
        with self.connect() as connection:
            connection.request("GET", f"/login/{name}/")
            response = connection.getresponse()
            response.read()
            return next(cookie for cookie in response.headers.get_all("Set-Cookie", []) if "sessionid" in cookie)


class Streams:
    """Clients of a site's streams, which hold what they have read: `texts`, with headers and chunks."""

    def __init__(self, site: LiveSite) -> None:
        self._site = site
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        self.texts: list[bytes] = []
        self.ended = 0

    def open(self, path: str, count: int, *, receive_buffer: int = 0, **headers: str) -> None:
        """Open so many streams, without waiting for their answers."""
        lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{''.join(lines)}\r\n".encode()
        for _ in range(count):
            client = socket.socket()
            self._sockets.append(client)
            if receive_buffer:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            client.settimeout(10)
            client.connect(("127.0.0.1", self._site.port))
            client.sendall(request)
            client.setblocking(False)
            self._selector.register(client, selectors.EVENT_READ, len(self.texts))
            self.texts.append(b"")

    def read(self) -> bool:
        """Read what has come; return True."""
        for key, _ in self._selector.select(timeout=0.01):
            client: Any = key.fileobj
            try:
                data = client.recv(65_536)
            except OSError:
                data = b""
            self.texts[key.data] += data
            if not data or self.texts[key.data].endswith(b"\r\n0\r\n\r\n"):  # the last chunk
                self._selector.unregister(client)
                self.ended += 1
        return True

    def wait_for_all(self, *alternatives: bytes, timeout: float = 20) -> bool:
        """Wait until each stream has sent one of some texts."""

        def all_have() -> bool:
            self.read()
            return all(any(each in text for each in alternatives) for text in self.texts)

        return bool(wait_until(all_have, f"{alternatives} in all streams", timeout))

    def wait_for_the_end(self) -> None:
        """Wait until the server has ended all streams."""
        wait_until(lambda: self.read() and self.ended == len(self.texts), "the end of all streams", 20)

    def close(self) -> None:
        self._selector.close()
        for client in self._sockets:
            client.close()

"""The demo's three processes: their commands, their URLs, and how to tell that they are up."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from .child import ChildSpec

HOST = "127.0.0.1"
SOURCES = ("stream", "webhook", "queue-change", "poll")
WEBHOOK_SECRET = "demo-only-not-a-secret"
REALTIME_TOKEN = "demo-only-not-a-token"
POLL_SECONDS = 5  # with `poll`; by default it would be a minute, and nobody waits for that in front of two pages


class PortInUse(Exception):
    """A port of the demo is in use."""


@dataclass(frozen=True)
class Plan:
    """The demo's two ports, the number of processes that serve the site, and how changes are announced."""

    port: int
    standin_port: int
    workers: int
    state_file: Path
    document: Path
    source: str = "stream"

    @property
    def site_url(self) -> str:
        """Return the shop's URL."""
        return f"http://{HOST}:{self.port}/"

    @property
    def standin_url(self) -> str:
        """Return the URL of the page that changes the flags."""
        return f"http://{HOST}:{self.standin_port}/"

    @property
    def way(self) -> str:
        """Return how the listener learns of a change."""
        return {
            "stream": f"the stream of {self.standin_url}",
            "webhook": f"a webhook to {self.site_url}flagsmith/webhook/",
            "queue-change": f"queue-change to {self.site_url}flagsmith",
            "poll": f"nobody: the listener polls every {POLL_SECONDS} s",
        }[self.source]

    def children(self) -> list[ChildSpec]:
        """Return the processes in the order in which to start them."""
        return [self._standin(), self._listener(), self._site()]

    def environment(self) -> dict[str, str]:
        """Return the environment variables of the children."""
        return {
            **os.environ,
            "FLAGSMITH_ENVIRONMENT_KEY": "ser.demo-only-not-a-secret",
            "FLAGSMITH_API_URL": f"{self.standin_url}api/v1/",
            "FLAGSMITH_REALTIME_URL": self.standin_url if self.source == "stream" else "",
            "FLAGSMITH_WEBHOOK_SECRET": WEBHOOK_SECRET if self.source == "webhook" else "",
            "FLAGSMITH_REALTIME_TOKEN": REALTIME_TOKEN if self.source == "queue-change" else "",
            "FLAGSMITH_FALLBACK_POLL_INTERVAL": str(POLL_SECONDS) if self.source == "poll" else "60",
            "FLAGS_PAGE": self.standin_url,
            "NO_PROXY": HOST,
            "no_proxy": HOST,
            "PYTHONUNBUFFERED": "1",
        }

    def _standin(self) -> ChildSpec:
        files = ("--state", str(self.state_file), "--document", str(self.document))
        posts = {
            "webhook": ("--webhook", f"{self.site_url}flagsmith/webhook/", WEBHOOK_SECRET),
            "queue-change": ("--queue-change", f"{self.site_url}flagsmith", REALTIME_TOKEN),
        }.get(self.source, ())
        address = ("--host", HOST, "--port", str(self.standin_port))
        command = (sys.executable, "-m", "standin", *address, *files, *posts)
        return ChildSpec("standin", command, self._is_standin_up)

    def _listener(self) -> ChildSpec:
        return ChildSpec("listener", (sys.executable, "manage.py", "flagsmith_listen"), self._is_listener_up)

    def _site(self) -> ChildSpec:
        options = ("--bind", f"{HOST}:{self.port}", "--workers", str(self.workers))
        command = (sys.executable, "-m", "gunicorn", "--config", "python:storefront.gunicorn_conf", *options)
        noise = r"\s*|.*Worker \(pid:\d+\) was sent SIGTERM!"
        return ChildSpec("site", (*command, "storefront.asgi"), self._is_site_up, noise)

    def _is_standin_up(self) -> bool:
        return get_json(self.standin_port, "/standin/state") is not None

    def _is_listener_up(self) -> bool:
        state = get_json(self.standin_port, "/standin/state")
        is_connected = state and (state["counts"]["open_streams"] or self.source != "stream")
        return bool(state and state["counts"]["environment_document"] and is_connected)

    def _is_site_up(self) -> bool:
        answer = get_json(self.port, "/snapshot/")
        return bool(answer and answer["snapshot"])


def check_ports(options: dict[str, int]) -> None:
    """Raise `PortInUse` if something listens on one of the ports, given by the option that sets it."""
    if len(set(options.values())) < len(options):
        raise PortInUse(f"{' and '.join(options)} are the same port: give them different ones.")
    for option, port in options.items():
        if not is_free(port):
            raise PortInUse(f"Port {port} is in use: choose another one with {option}.")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def get_json(port: int, path: str) -> Any:
    """Return the JSON that a server on this machine answers, or None while there is no such answer."""
    connection = HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return json.load(response) if response.status == 200 else None
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()

"""The stand-in's HTTP server: in a thread for tests, or in the foreground for development."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import EllipsisType, TracebackType
from typing import Any

from .counts import Counts
from .deliveries import Delivery
from .document import Document, Value
from .environment import SERVER_KEY, Environment, UsagePost
from .handler import Handler
from .state import RECORDED_DOCUMENT, State
from .stream import StreamTimes


class Server(ThreadingHTTPServer):
    """Serve one environment, a thread per connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], environment: Environment) -> None:
        super().__init__(address, partial(Handler, environment=environment))
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, and remember the connection while it is open."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close the port and, unlike the base class, every open connection."""
        super().server_close()
        for connection in tuple(self._connections):
            with suppress(OSError):  # it may just have closed
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report a bug, but not a client that left."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class StandIn:
    """Stand in for Flagsmith: `with StandIn(state_path=path) as standin: standin.set_flag(…)`."""

    def __init__(
        self,
        *,
        state_path: Path | str,
        document_path: Path = RECORDED_DOCUMENT,
        host: str = "127.0.0.1",
        port: int = 0,
        server_key: str = SERVER_KEY,
        ping_seconds: float = 15.0,
        stream_seconds: float = 30.0,
    ) -> None:
        times = StreamTimes(ping=ping_seconds, end=stream_seconds)
        state = State(Path(state_path), document_path)
        self._environment = Environment(state, server_key=server_key, times=times)
        self._server = Server((host, port), self._environment)
        self.url = f"http://{host}:{self._server.server_port}"
        self.api_url = f"{self.url}/api/v1/"
        self.realtime_url = f"{self.url}/"
        self.server_key = server_key
        self.setting = {"ENVIRONMENT_KEY": server_key, "API_URL": self.api_url, "REALTIME_URL": self.realtime_url}

    def __enter__(self) -> StandIn:
        threading.Thread(target=self.serve_forever, name="standin", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self.close()

    def serve_forever(self) -> None:
        """Serve until the process is interrupted or the block is left."""
        self._server.serve_forever(poll_interval=0.01)

    def close(self) -> None:
        """Close the port and all connections."""
        self._server.server_close()

    @property
    def client_key(self) -> str:
        """Return the client-side key, which is part of the stream's URL."""
        return self._environment.client_key

    @property
    def document(self) -> Document:
        """Return the environment document as it is served now."""
        return self._environment.document

    @property
    def deliveries(self) -> list[Delivery]:
        """Return what is posted with each change; append to it what Flagsmith should post."""
        return self._environment.deliveries

    @property
    def usage(self) -> list[UsagePost]:
        """Return what was posted of how often flags were read."""
        return self._environment.usage

    @property
    def counts(self) -> Counts:
        """Return the requests per route and the open streams."""
        return self._environment.counts

    def set_flag(self, name: str, *, enabled: bool | None = None, value: Value | EllipsisType = ...) -> bool:
        """Change a flag as the page would; return whether anything changed."""
        return self._environment.set_flag(name, enabled=enabled, value=value)

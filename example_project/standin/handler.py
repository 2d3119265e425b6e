"""Route each HTTP request to the API, the stream or the page."""

from __future__ import annotations

import logging
import re
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from . import api, page
from .document import UnknownFlag
from .environment import Environment
from .responses import Response, not_found
from .stream import send_stream

logger = logging.getLogger(__name__)
STREAM = re.compile(r"/sse/environments/([^/]+)/stream")
FLAG = re.compile(r"/standin/flags/([^/]+)")
API_ROUTES = ("/api/v1/environment-document/", "/api/v1/flags/")
USAGE = "/api/v1/analytics/flags/"
MAX_BODY = 1_000_000  # bytes; far more than any change of a flag


class Handler(BaseHTTPRequestHandler):
    """Answer the requests of one connection from an environment."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, *args: Any, environment: Environment) -> None:
        self.environment = environment  # before the base class, whose constructor answers the requests
        super().__init__(*args)

    def do_GET(self) -> None:
        """Answer a read: the API, the stream or the page."""
        path = urlsplit(self.path).path
        if stream := STREAM.fullmatch(path):
            self._stream(unquote(stream[1]))
        elif path.startswith("/api/"):
            self._send(self._api(path))
        elif path == "/standin/state":
            self._send(page.state(self.environment.document, self.environment.counts))
        else:
            self._send(page.page_file(path))

    def do_HEAD(self) -> None:
        """Answer a read without its body."""
        self.do_GET()

    def do_POST(self) -> None:
        """Answer a post of usage figures, or a change from the page."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MAX_BODY))
        path = urlsplit(self.path).path
        if path == USAGE:
            self._send(self._usage(body))
            return
        flag = FLAG.fullmatch(path)
        self._send(self._change(unquote(flag[1]), body) if flag else not_found())

    def log_message(self, format: str, *args: object) -> None:
        """Don't log each request: the environment logs the changes, and this module the document requests."""

    def _api(self, path: str) -> Response:
        if f"{path}/" in API_ROUTES:
            return api.moved_to_slash(f"{path}/")
        if path == API_ROUTES[0]:
            return self._environment_document()
        return self._flags() if path == API_ROUTES[1] else not_found()

    def _environment_document(self) -> Response:
        environment = self.environment
        environment.counter.add_document()
        key = self.headers.get("X-Environment-Key")
        response = api.environment_document(environment.document, key, environment.server_key)
        if "gzip" in self.headers.get("Accept-Encoding", "") and response.status == HTTPStatus.OK:
            response = response.gzipped()
        logger.info("environment document requested: %d, %d bytes", response.status, len(response.body))
        return response

    def _flags(self) -> Response:
        environment = self.environment
        environment.counter.add_flags()
        key = self.headers.get("X-Environment-Key")
        feature = parse_qs(urlsplit(self.path).query).get("feature", [None])[0]
        return api.flags(environment.document, key, environment.server_key, feature)

    def _usage(self, body: bytes) -> Response:
        environment = self.environment
        response = api.usage(environment.document, self.headers.get("X-Environment-Key"), environment.server_key)
        if response.status == HTTPStatus.OK:
            environment.add_usage(body)
        return response

    def _change(self, name: str, body: bytes) -> Response:
        # Another site's page can post a form here, but JSON only after a preflight request, which is not answered.
        if self.headers.get_content_type() != "application/json":
            return page.problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send application/json.")
        environment = self.environment
        try:
            environment.set_flag(name, **page.parse_change(body))
        except page.BadChange as error:
            return page.problem(HTTPStatus.BAD_REQUEST, str(error))
        except UnknownFlag as error:
            return page.problem(HTTPStatus.NOT_FOUND, str(error))
        return page.state(environment.document, environment.counts)

    def _send(self, response: Response) -> None:
        self.send_response_only(response.status)
        self.send_header("Server", "gunicorn")
        self.send_header("Date", self.date_time_string(time.time()))
        for name, value in response.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def _stream(self, client_key: str) -> None:
        environment = self.environment
        with environment.open_stream(client_key):
            self.send_response_only(HTTPStatus.OK)
            self.send_header("Date", self.date_time_string(time.time()))
            self.send_header("Server", "uvicorn")
            self.send_header("Cache-Control", "public, max-age=29")
            self.send_header("X-Accel-Buffering", "no")
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            send_stream(self.wfile.write, self.connection, environment.channel(client_key), environment.times)

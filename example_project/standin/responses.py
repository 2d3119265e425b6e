"""HTTP responses as values."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Response:
    """A response to which the handler adds `Date` and `Content-Length`."""

    status: HTTPStatus
    headers: Headers
    body: bytes = b""

    def gzipped(self) -> Response:
        """Return the response for a client that accepts gzip."""
        headers = tuple(
            (name, f"{value}, Accept-Encoding" if name == "Vary" else value) for name, value in self.headers
        )
        return replace(self, headers=(*headers, ("Content-Encoding", "gzip")), body=gzip.compress(self.body))


def json_response(payload: Any, status: HTTPStatus = HTTPStatus.OK, headers: Headers = ()) -> Response:
    """Return the payload as compact JSON."""
    body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
    return Response(status, (("Content-Type", "application/json"), *headers), body)


def not_found() -> Response:
    """Return the response to an unknown path."""
    body = b"<!doctype html><title>Not Found</title><h1>Not Found</h1>"
    return Response(HTTPStatus.NOT_FOUND, (("Content-Type", "text/html; charset=utf-8"),), body)

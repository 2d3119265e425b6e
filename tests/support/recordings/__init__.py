"""What a real Flagsmith answered and posted, recorded: its API in `api/`, its stream in `stream/`, its posts in the others."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER / "api" / "environment_document.json"
PIECE = re.compile(r"^\+([\d.]+) (b'.*')$", re.MULTILINE)
POST = re.compile(rb"^POST (\S+) HTTP/1\.1\r?\n((?:.+\n)+?)\r?\n(.*)\r?\n?$", re.MULTILINE)
FRAMING_HEADERS = {"content-length", "transfer-encoding", "content-encoding", "connection"}


@dataclass(frozen=True)
class Exchange:
    """A request and its answer; header names in lower case."""

    target: str
    request_headers: dict[str, str]
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content_headers(self) -> dict[str, str]:
        """The answer's headers without those that say how the body is sent."""
        return {name: value for name, value in self.headers.items() if name not in FRAMING_HEADERS}


def document() -> Any:
    """Return a copy of the recorded environment document."""
    return json.loads(DOCUMENT.read_bytes())


def exchange(name: str) -> Exchange:
    """Read `api/{name}.http`."""
    text = (FOLDER / "api" / f"{name}.http").read_bytes().replace(b"\r\n", b"\n")
    head, body = text.split(b"\n\nHTTP/", 1)
    answer, _, body = (b"HTTP/" + body).partition(b"\n\n")
    request = [line[2:] for line in head.decode().splitlines() if line.startswith("> ")]
    status, *headers = answer.decode().splitlines()
    return Exchange(
        request[0].split()[1], _headers(request[1:]), int(status.split()[1]), _headers(headers), body.strip()
    )


@dataclass(frozen=True)
class Post:
    """A request that Flagsmith's API made when something changed; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


def posts(folder: str, name: str = "*") -> list[Post]:
    """Return what was posted in a recording of `webhooks` or `queue_change`, or in all of them, byte for byte."""
    found = []
    for path in sorted((FOLDER / folder).glob(f"{name}.http")):
        for target, headers, body in POST.findall(path.read_bytes()):
            found.append(Post(target.decode(), _headers(headers.decode().splitlines()), body))
    return found


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def stream(name: str) -> bytes:
    """Return the bytes of `stream/{name}.raw`, the answer's head included."""
    return (FOLDER / "stream" / f"{name}.raw").read_bytes()


def stream_pieces(name: str) -> list[tuple[float, bytes]]:
    """Return the pieces in which the bytes came, and when, in seconds after the request."""
    text = (FOLDER / "stream" / f"{name}.txt").read_text()
    return [(float(at), ast.literal_eval(piece)) for at, piece in PIECE.findall(text)]


def dechunked(data: bytes) -> bytes:
    """Return a chunked body without its chunk sizes, as far as it goes."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return body

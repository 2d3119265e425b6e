"""The page on which a person changes the flags, and the JSON behind it."""

from __future__ import annotations

import json
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Any

from .counts import Counts
from .document import Document, flag_rows, segment_rows
from .responses import Headers, Response, json_response, not_found

FOLDER = Path(__file__).with_name("page")
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
HEADERS: Headers = (
    ("Cache-Control", "no-cache"),
    ("Content-Security-Policy", "default-src 'self'"),
    ("X-Content-Type-Options", "nosniff"),
)


class BadChange(ValueError):
    """The body of a change isn't valid."""


def page_file(path: str) -> Response:
    """Answer with one of the page's files."""
    page = "/" if path.startswith("/project/") else path  # where a flag is in Flagsmith's dashboard
    if page not in FILES:
        return not_found()
    name, content_type = FILES[page]
    return Response(HTTPStatus.OK, (("Content-Type", content_type), *HEADERS), (FOLDER / name).read_bytes())


def state(document: Document, counts: Counts) -> Response:
    """Answer with the flags, segments and counts that the page shows."""
    payload = {
        "environment": document["name"],
        "project": document["project"]["name"],
        "updated_at": document["updated_at"],
        "flags": flag_rows(document),
        "segments": segment_rows(document),
        "counts": asdict(counts),
    }
    return json_response(payload, headers=(("Cache-Control", "no-store"),))


def problem(status: HTTPStatus, detail: str) -> Response:
    """Answer that a change was refused, and why."""
    return json_response({"detail": detail}, status)


def parse_change(body: bytes) -> dict[str, Any]:
    """Return the checked change: `enabled`, `value`, or both."""
    try:
        change = json.loads(body)
    except ValueError as error:
        raise BadChange("The body is not JSON.") from error
    if not isinstance(change, dict) or not change or not change.keys() <= {"enabled", "value"}:
        raise BadChange(f'A change is {{"enabled": …, "value": …}} or one of the two, not {change!r}.')
    if not isinstance(change.get("enabled", True), bool):
        raise BadChange(f"enabled is true or false, not {change['enabled']!r}.")
    if not isinstance(change.get("value"), str | int | bool | None):
        raise BadChange(f"A value is a string, an integer, a boolean or null, not {change['value']!r}.")
    return change

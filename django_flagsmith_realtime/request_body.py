"""Request bodies whose size is bounded."""

from __future__ import annotations

from django.http import HttpRequest, UnreadablePostError


def read_body(request: HttpRequest, max_size: int) -> bytes | None:
    """Return the body; None where it has more than `max_size` bytes, or its client went away."""
    try:
        body = request.read(max_size + 1)  # `request.body` would read all that comes in chunks
    except UnreadablePostError:
        return None
    return body if len(body) <= max_size else None

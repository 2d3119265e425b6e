"""What the middleware does around a view, around a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.http import HttpRequest

from django_flagsmith_realtime.reading.scope import Scope, innermost


@contextmanager
def request_scope(request: HttpRequest) -> Iterator[Scope]:
    stay = Scope()
    stay.outer, stay.request = innermost.get(), request
    token = innermost.set(stay)
    try:
        yield stay
    finally:
        innermost.reset(token)
        stay.end()

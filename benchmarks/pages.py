"""The throughput of gunicorn pages that read ten flags, and of the same pages without; what the middleware costs."""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Permission, User
from django.core.cache import caches
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.urls import path
from waffle import flag_is_active

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.middleware import FlagsmithMiddleware
from tests.support.processes import free_port, wait_until

from .documents import MEDIUM, make_document
from .peers import flagsmith_sdk
from .publishing import publish
from .tables import Table

REQUESTS = 40  # in one turn of one page
KEY = "flags"
NAMES = [f"flag_{number:04}" for number in range(10)]

View = Callable[[HttpRequest], HttpResponse]
IsEnabled = Callable[[str], bool]


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def one_line(request: HttpRequest, is_enabled: IsEnabled) -> HttpResponse:
    return HttpResponse(f"{sum(map(is_enabled, NAMES))}")


def busy(request: HttpRequest, is_enabled: IsEnabled) -> HttpResponse:
    user = User.objects.filter(username="somebody").first()
    permission = Permission.objects.filter(codename="add_user").first()
    return HttpResponse(f"{user} {permission and permission.name} {sum(map(is_enabled, NAMES))}")


def nothing(request: HttpRequest) -> IsEnabled:
    return lambda name: False


def one_get(request: HttpRequest) -> IsEnabled:
    caches["Redis"].get(KEY)
    return nothing(request)


def here(request: HttpRequest) -> IsEnabled:
    return lambda name: get_flags().is_feature_enabled(name)


def waffle(request: HttpRequest) -> IsEnabled:
    return lambda name: bool(flag_is_active(request, name))


@cache
def client() -> Any:
    return flagsmith_sdk(make_document(MEDIUM))


def sdk(request: HttpRequest) -> IsEnabled:
    return lambda name: bool(client().get_environment_flags().is_feature_enabled(name))


def _view(page: Any, flags: Any) -> View:
    view: View = lambda request: page(request, flags(request))  # noqa: E731
    return _behind(FlagsmithMiddleware, view) if flags is here else view


def _behind(middleware: Any, view: View) -> View:
    """Return a view behind a middleware, as Django's handler calls it; one process serves it with and without."""
    return convert_exception_to_response(middleware(convert_exception_to_response(view)))  # type: ignore[no-any-return]


SOURCES = (nothing, one_get, here, sdk, waffle)
PAGES = {"one line": one_line, "two database queries": busy}
EMPTY: dict[str, View] = {
    "behind_none": convert_exception_to_response(empty),
    "behind_ours": _behind(FlagsmithMiddleware, empty),
    "behind_djangos": _behind(XFrameOptionsMiddleware, empty),
}
urlpatterns = [
    path("empty/<str:name>/", lambda request, name: EMPTY[name](request)),
    *(path(f"{page.__name__}/{flags.__name__}/", _view(page, flags)) for page in PAGES.values() for flags in SOURCES),
]


def tables(turns: int) -> Iterator[Table]:
    with Server() as default, Server(FRESHNESS=0) as asking:
        yield ten_flags(default, asking, turns)
        yield middleware(default, turns)


def ten_flags(default: int, asking: int, turns: int) -> Table:
    table = Table(
        "A page that reads ten flags",
        "gunicorn with one worker and one thread; connections are kept alive; turns of 40 requests. The flags, and "
        "django-waffle's cache, are on Redis. Each share is the throughput compared with the same page without flags, "
        "in the same process; this package's is with its middleware. *One `cache.get`*: a page without flags that reads "
        "one key through Django's cache. *`FRESHNESS` 0*: the cache is asked once per request.",
        ["page", "without flags", "this package", "`FRESHNESS` 0", "one `cache.get`", "official SDK", "django-waffle"],
    )
    for name, page in PAGES.items():
        urls = {flags: f"/{page.__name__}/{flags.__name__}/" for flags in SOURCES}
        base, get, ours, *peers = compare(default, [*urls.values()], turns)
        _, asking_ours = compare(asking, [urls[nothing], urls[here]], turns)
        table.rows.append([name, base, ours, asking_ours, get, *peers])
    return table


def middleware(port: int, turns: int) -> Table:
    table = Table(
        "A middleware on the emptiest page",
        "A view that returns `HttpResponse()`, behind one middleware, and behind none; otherwise as above, but the "
        "pages take turns request by request.",
        ["without", "this package's", "Django's `XFrameOptionsMiddleware`"],
    )
    table.rows.append(
        compare(port, [f"/empty/{name}/" for name in EMPTY], turns * REQUESTS, requests=1)
    )  # a difference of one or two percent
    return table


def compare(port: int, urls: Sequence[str], turns: int, requests: int = REQUESTS) -> list[str]:
    """Return the throughput of the first page, and each other's share of it: the median of the shares in each turn."""
    taken: list[list[float]] = [[] for _ in urls]
    connection = http.client.HTTPConnection("127.0.0.1", port)
    order = [*zip(urls, taken, strict=True)]
    for _ in range(turns + 1):
        order.append(order.pop(0))  # each page begins a turn as often as the others
        for url, times in order:
            began = time.perf_counter()
            for _ in range(requests):
                connection.request("GET", url)
                response = connection.getresponse()
                response.read()
                assert response.status == 200
            times.append((time.perf_counter() - began) / requests)
    base = taken[0][1:]  # the first turn warms up
    shares = [statistics.median(b / t for b, t in zip(base, times[1:], strict=True)) for times in taken[1:]]
    return [f"{1 / statistics.median(base):,.0f} a second", *(f"{share:.1%}" for share in shares)]


class Server:
    """gunicorn with the pages, until the block is left."""

    def __init__(self, **setting: Any) -> None:
        self.setting = setting

    def __enter__(self) -> int:
        port = free_port()
        setting = {"CACHE": "Redis", **self.setting}
        publish(MEDIUM, "Redis")
        environment = {**os.environ, "BENCH_FLAGSMITH": json.dumps(setting), "BENCH_WAFFLE_CACHE": "Redis"}
        arguments = [
            "-m",
            "gunicorn",
            "--worker-class=gthread",
            "--threads=1",
            f"--bind=127.0.0.1:{port}",
            "--keep-alive=60",
            "--log-level=error",
            "--no-control-socket",
            "django.core.wsgi:get_wsgi_application()",
        ]
        self.process = subprocess.Popen([sys.executable, *arguments], env=environment, cwd=Path(__file__).parent.parent)
        wait_until(lambda: _answers(port), timeout=30)
        return port

    def __exit__(self, *exception: object) -> None:
        self.process.terminate()
        self.process.wait(20)


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/one_line/here/")
        return connection.getresponse().status == 200
    except OSError:
        return False

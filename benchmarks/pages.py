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
from contextlib import ExitStack
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.core.cache import caches
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.urls import path
from opentelemetry.sdk.trace import TracerProvider
from waffle import flag_is_active

from django_flagsmith_realtime import Identity, get_flags
from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.middleware import FlagsmithMiddleware
from django_flagsmith_realtime.storage.cache import Cache
from django_flagsmith_realtime.storage.usage import UsageBoxes
from tests.support.processes import free_port, wait_until

from .documents import MEDIUM, TRAITS, make_document
from .peers import flagsmith_sdk
from .publishing import publish
from .tables import Table

REQUESTS = 40  # in one turn of one page
KEY = "flags"
TRACING = "openfeature.contrib.hook.opentelemetry.TracingHook"
OBSERVERS: dict[str, dict[str, Any]] = {
    "nobody": {},
    "`USAGE`": {"USAGE": True},
    "`TracingHook`": {"HOOKS": [TRACING]},
    "both": {"USAGE": True, "HOOKS": [TRACING]},
}
tracer = TracerProvider().get_tracer("benchmarks")
numbers = count()
NAMES = [f"flag_{number:04}" for number in range(10)]

View = Callable[[HttpRequest], HttpResponse]
IsEnabled = Callable[[str], bool]


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def one_line(request: HttpRequest, is_enabled: IsEnabled) -> HttpResponse:
    return HttpResponse(f"{sum(map(is_enabled, NAMES))}")


def in_a_span(request: HttpRequest, is_enabled: IsEnabled) -> HttpResponse:
    with tracer.start_as_current_span("page"):
        return one_line(request, is_enabled)


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


def somebody(request: HttpRequest) -> IsEnabled:
    flags = get_flags(identity=Identity(f"somebody {next(numbers)}", TRAITS))
    return lambda name: flags.is_feature_enabled(name)


def waffle(request: HttpRequest) -> IsEnabled:
    return lambda name: bool(flag_is_active(request, name))


@cache
def client() -> Any:
    return flagsmith_sdk(make_document(MEDIUM))


def sdk(request: HttpRequest) -> IsEnabled:
    return lambda name: bool(client().get_environment_flags().is_feature_enabled(name))


def _view(page: Any, flags: Any) -> View:
    view: View = lambda request: page(request, flags(request))  # noqa: E731
    return _behind(FlagsmithMiddleware, view) if flags in (here, somebody) else view


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
    path("cpu/", lambda request: HttpResponse(str(time.process_time()))),
    path("in_a_span/here/", _view(in_a_span, here)),
    path("in_a_span/somebody/", _view(in_a_span, somebody)),
    *(path(f"{page.__name__}/{flags.__name__}/", _view(page, flags)) for page in PAGES.values() for flags in SOURCES),
]


def tables(turns: int) -> Iterator[Table]:
    with Server() as default, Server(FRESHNESS=0) as asking:
        yield ten_flags(default, asking, turns)
        yield middleware(default, turns)
    yield observed(turns)


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
        base, get, ours, *peers = compare([(default, url) for url in urls.values()], turns)
        _, asking_ours = compare([(asking, urls[nothing]), (asking, urls[here])], turns)
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
        compare([(port, f"/empty/{name}/") for name in EMPTY], turns * REQUESTS, requests=1)
    )  # a difference of one or two percent
    return table


def observed(turns: int) -> Table:
    table = Table(
        "A page that reads ten flags, and who observes that",
        "The page of one line, in a span of OpenTelemetry that records. Each column is a process with other settings; its "
        "share is of the requests that the first one serves in a second of CPU time. *Of an identity*: another one in "
        "each request; three of the ten flags are evaluated. *Operations*: commands that Redis gets from one process "
        "that is busy for so long. `FRESHNESS` is an hour, so that flags are not among them.",
        ["", *OBSERVERS],
    )
    servers = [Server(FRESHNESS=3_600, **setting) for setting in OBSERVERS.values()]
    with ExitStack() as stack:
        ports = [stack.enter_context(server) for server in servers]
        for name, flags in (("flags of the environment", here), ("flags of an identity", somebody)):
            pages = [(port, f"/in_a_span/{flags.__name__}/") for port in ports]
            table.rows.append([name, *compare(pages, turns, clock=cpu_seconds)])
    seconds = turns * 25 // 41  # in which a process stores its counts twice
    table.rows.append(
        [f"operations of the cache in {seconds} s", *(str(operations(each, seconds)) for each in servers)]
    )
    return table


def operations(server: Server, seconds: float) -> int:
    """Return the commands that Redis gets while a page is requested again and again, by a process that has read it."""
    with server as port, redis.Redis.from_url(settings.CACHES["Redis"]["LOCATION"]) as client:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        before, ends = client.info("stats"), time.monotonic() + seconds
        while time.monotonic() < ends:
            get(connection, "/in_a_span/here/")
        return client.info("stats")["total_commands_processed"] - before["total_commands_processed"] - 1  # `before`


def get(connection: http.client.HTTPConnection, url: str) -> str:
    connection.request("GET", url)
    response = connection.getresponse()
    assert response.status == 200
    return response.read().decode()


def cpu_seconds(connection: http.client.HTTPConnection) -> float:
    return float(get(connection, "/cpu/"))


def compare(
    pages: Sequence[tuple[int, str]],
    turns: int,
    requests: int = REQUESTS,
    clock: Callable[[http.client.HTTPConnection], float] = lambda connection: time.perf_counter(),
) -> list[str]:
    """Return the throughput of the first page, and each other's share of it: the median of the shares in each turn.

    A page is a port and a URL.
    """
    taken: list[list[float]] = [[] for _ in pages]
    connections = [http.client.HTTPConnection("127.0.0.1", port) for port, _ in pages]
    order = [*zip(connections, (url for _, url in pages), taken, strict=True)]
    for _ in range(turns + 1):
        order.append(order.pop(0))  # each page begins a turn as often as the others
        for connection, url, times in order:
            began = clock(connection)
            for _ in range(requests):
                get(connection, url)
            times.append((clock(connection) - began) / requests)
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
        UsageBoxes(Cache("Redis", get_config().namespace)).collect()  # as a leader does: else no process stores counts
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

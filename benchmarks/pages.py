"""The throughput of a gunicorn page that reads ten flags, and of the same page without."""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import path
from waffle import flag_is_active

from django_flagsmith_realtime import get_flags
from tests.support.processes import free_port, wait_until

from .documents import MEDIUM, make_document
from .peers import flagsmith_sdk
from .publishing import publish
from .tables import Table

KEY = "flags"
NAMES = [f"flag_{number:04}" for number in range(10)]
PAGE = "<table>{% for row in rows %}<tr><td>{{ row.id }}</td><td>{{ row.name }}</td><td>{{ row.price }}</td></tr>{% endfor %}</table>"
ROWS = [{"id": number, "name": f"Product <{number}>", "price": number * 1.5} for number in range(60)]


def small(request: HttpRequest, is_enabled: Any) -> HttpResponse:
    return HttpResponse(f"{sum(map(is_enabled, NAMES))}")


def table(request: HttpRequest, is_enabled: Any) -> HttpResponse:
    on = sum(map(is_enabled, NAMES))
    return HttpResponse(engines["django"].from_string(PAGE).render({"rows": ROWS, "on": on}, request))


def nothing(request: HttpRequest) -> Any:
    return lambda name: False


def here(request: HttpRequest) -> Any:
    return lambda name: get_flags().is_feature_enabled(name)


def one_get(request: HttpRequest) -> Any:
    caches["Redis"].get(KEY)
    return nothing(request)


def waffle(request: HttpRequest) -> Any:
    return lambda name: flag_is_active(request, name)


@cache
def client() -> Any:
    return flagsmith_sdk(make_document(MEDIUM))


def sdk(request: HttpRequest) -> Any:
    return lambda name: client().get_environment_flags().is_feature_enabled(name)


def _view(page: Any, flags: Any) -> Any:
    return lambda request: page(request, flags(request))


SOURCES = (nothing, one_get, here, sdk, waffle)
PAGES = {"one line": small, "a table of 60 rows": table}
urlpatterns = [
    path(f"{page.__name__}/{flags.__name__}/", _view(page, flags)) for page in PAGES.values() for flags in SOURCES
]


def tables(turns: int) -> Iterator[Table]:
    result = Table(
        "A page that reads ten flags",
        "gunicorn, one worker with one thread, kept-alive connections, turns of 40 requests; flags and waffle's "
        "cache on Redis. Throughput relative to the same page without flags, in the same process. *One "
        "`cache.get`*: the page reads no flag, but one key from Redis, through Django's cache. *With "
        "`FRESHNESS`*: of 1 second.",
        [
            "page",
            "without flags",
            "one `cache.get`",
            "this package",
            "with `FRESHNESS`",
            "official SDK",
            "django-waffle",
        ],
    )
    with Server(FRESHNESS=0) as port, Server(FRESHNESS=1) as fresh:
        for name, page in PAGES.items():
            urls = {flags: f"/{page.__name__}/{flags.__name__}/" for flags in SOURCES}
            base, get, here_, *peers = _compare(port, [*urls.values()], turns)
            _, fresh_ = _compare(fresh, [urls[nothing], urls[here]], turns)
            result.rows.append([name, base, get, here_, fresh_, *peers])
    yield result


def _compare(port: int, urls: list[str], turns: int) -> list[str]:
    taken: list[list[float]] = [[] for _ in urls]
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(turns + 1):
        for url, times in zip(urls, taken, strict=True):
            began = time.perf_counter()
            for _ in range(40):
                connection.request("GET", url)
                response = connection.getresponse()
                response.read()
                assert response.status == 200
            times.append((time.perf_counter() - began) / 40)
    base = taken[0][1:]
    shares = [statistics.median(b / t for b, t in zip(base, times[1:], strict=True)) for times in taken[1:]]
    return [f"{1 / statistics.median(base):,.0f} a second", *(f"{share:.0%}" for share in shares)]


class Server:
    """gunicorn with the pages, until the block is left."""

    def __init__(self, **setting: Any) -> None:
        self.setting = setting

    def __enter__(self) -> int:
        port = free_port()
        setting = {"CACHE": "Redis", **self.setting}
        publish(MEDIUM, "Redis")
        environment = {
            **os.environ,
            "BENCH_FLAGSMITH": json.dumps(setting),
            "BENCH_WAFFLE_CACHE": "Redis",
            "BENCH_MIDDLEWARE": "django_flagsmith_realtime.middleware.FlagsmithMiddleware",
        }
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
        connection.request("GET", "/small/here/")
        return connection.getresponse().status == 200
    except OSError:
        return False

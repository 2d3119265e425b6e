"""`request.flags`, and one snapshot for the whole request, in both of Django's worlds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path

from django_flagsmith_realtime import Identity, aget_flags, get_flags
from django_flagsmith_realtime.decorators import flag_enabled
from django_flagsmith_realtime.middleware import FlagsmithMiddleware
from django_flagsmith_realtime.reading.reader import get_reader
from django_flagsmith_realtime.reading.scope import current_flags
from tests.support.cases import each_case
from tests.support.documents import publish

MIDDLEWARE = "django_flagsmith_realtime.middleware.FlagsmithMiddleware"
SYNC_ONLY = "tests.unit.test_middleware.sync_only"
Get = Callable[[str], HttpResponse]


def sync_only(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware of somebody else's, which makes Django change threads under ASGI."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return get_response(request)

    return middleware


def get_under_wsgi(url: str) -> HttpResponse:
    return Client().get(url)


def get_under_asgi(url: str) -> HttpResponse:
    return asyncio.run(AsyncClient().get(url))


each_chain = each_case(
    ("get", "middleware"),
    [
        (get_under_wsgi, [MIDDLEWARE]),
        (get_under_asgi, [MIDDLEWARE]),
        (get_under_asgi, [SYNC_ONLY, MIDDLEWARE]),
        (get_under_asgi, [MIDDLEWARE, SYNC_ONLY]),
    ],
)


def serve(settings: Any, *views: Callable[..., Any]) -> None:
    """Route /0/, /1/, … to views that a test defines."""
    settings.ROOT_URLCONF = tuple(path(f"{index}/", view) for index, view in enumerate(views))


class TestOneSnapshot:
    @each_chain
    def test_all_reads_of_a_sync_view_agree_although_it_changes_meanwhile(
        self, settings: Any, get: Get, middleware: list[str]
    ) -> None:
        settings.MIDDLEWARE = middleware

        @flag_enabled("new_checkout")
        def view(request: HttpRequest) -> HttpResponse:
            publish(banner_text="two", new_checkout=False)
            assert get_flags() is get_flags(request)
            assert request.flags.snapshot is get_flags().snapshot
            assert get_flags(identity=Identity("x")).snapshot is get_flags().snapshot
            return render(request, "banner.html", {"request": request})

        serve(settings, view)
        publish(banner_text="one", new_checkout=True)
        assert get("/0/").content.strip() == b"one|one|one"
        assert get("/0/").status_code == 404

    @each_chain
    def test_all_reads_of_an_async_view_agree_although_it_changes_meanwhile(
        self, settings: Any, get: Get, middleware: list[str]
    ) -> None:
        settings.MIDDLEWARE = middleware

        @flag_enabled("new_checkout")
        async def view(request: HttpRequest) -> HttpResponse:
            publish(banner_text="two", new_checkout=False)
            flags = await request.aflags()
            assert flags is get_flags(request) is get_flags() is await aget_flags()
            assert await sync_to_async(get_flags)() is flags
            assert await asyncio.create_task(aget_flags()) is flags
            return await sync_to_async(render)(request, "banner.html", {"request": request})

        serve(settings, view)
        publish(banner_text="one", new_checkout=True)
        assert get("/0/").content.strip() == b"one|one|one"
        assert get("/0/").status_code == 404

    @each_chain
    def test_the_next_request_sees_the_change(self, settings: Any, get: Get, middleware: list[str]) -> None:
        settings.MIDDLEWARE = middleware
        for text in ("one", "two", "three"):
            publish(banner_text=text)
            assert get("/banner/").content.decode().endswith(text)

    def test_requests_beside_each_other_have_snapshots_of_their_own(self, settings: Any) -> None:
        settings.MIDDLEWARE = [MIDDLEWARE]

        async def view(request: HttpRequest) -> HttpResponse:
            await request.aflags()
            entered.append(request)
            while len(entered) < 2:
                if len(entered) == 1 and not published:
                    published.append(publish(banner_text="two"))
                    other.append(asyncio.create_task(AsyncClient().get("/0/")))
                await asyncio.sleep(0)
            return HttpResponse(get_flags().get_feature_value("banner_text"))

        async def both() -> list[bytes]:
            first = await AsyncClient().get("/0/")
            return [first.content, (await other[0]).content]

        entered: list[Any] = []
        published: list[Any] = []
        other: list[Any] = []
        serve(settings, view)
        publish(banner_text="one")
        assert asyncio.run(both()) == [b"one", b"two"]


class TestStreaming:
    def test_each_step_sees_what_the_request_saw(self, settings: Any) -> None:
        def view(request: HttpRequest) -> StreamingHttpResponse:
            def steps() -> Iterator[str]:
                for text in ("two", "three"):
                    yield str(get_flags().get_feature_value("banner_text"))
                    publish(banner_text=text)
                    get_reader().current()

            return StreamingHttpResponse(steps())

        settings.MIDDLEWARE = [MIDDLEWARE]
        serve(settings, view)
        publish(banner_text="one")
        response = Client().get("/0/")
        for _ in range(2):
            assert next(response.streaming_content) == b"one"
            assert current_flags() is None, "between two steps others run"
        assert list(response.streaming_content) == []

    def test_each_step_of_a_coroutine_sees_what_the_request_saw(self, settings: Any) -> None:
        async def view(request: HttpRequest) -> StreamingHttpResponse:
            async def steps() -> AsyncIterator[str]:
                for text in ("two", "three"):
                    yield str((await aget_flags()).get_feature_value("banner_text"))
                    publish(banner_text=text)
                    await get_reader().acurrent()

            return StreamingHttpResponse(steps())

        async def get() -> list[bytes]:
            response = await AsyncClient().get("/0/")
            parts = []
            async for part in response.streaming_content:
                assert current_flags() is None, "between two steps others run"
                parts.append(part)
            return parts

        settings.MIDDLEWARE = [MIDDLEWARE]
        serve(settings, view)
        publish(banner_text="one")
        assert asyncio.run(get()) == [b"one", b"one"]

    def test_a_task_that_makes_the_content_is_in_the_scope_until_the_end(self, settings: Any) -> None:
        tasks: list[asyncio.Task[Any]] = []
        ended = asyncio.Event()

        async def produce(parts: asyncio.Queue[str | None]) -> Any:
            for text in ("two", "three"):
                await parts.put(str((await aget_flags()).get_feature_value("banner_text")))
                publish(banner_text=text)
                await get_reader().acurrent()
            await parts.put(None)
            await ended.wait()
            return current_flags() is None

        async def view(request: HttpRequest) -> StreamingHttpResponse:
            parts: asyncio.Queue[str | None] = asyncio.Queue(1)
            tasks.append(asyncio.create_task(produce(parts)))

            async def steps() -> AsyncIterator[str]:
                while part := await parts.get():
                    yield part

            return StreamingHttpResponse(steps())

        async def get() -> tuple[list[bytes], Any]:
            response = await AsyncClient().get("/0/")
            parts = [part async for part in response.streaming_content]
            ended.set()
            return parts, await tasks[0]

        settings.MIDDLEWARE = [MIDDLEWARE]
        serve(settings, view)
        publish(banner_text="one")
        assert asyncio.run(get()) == ([b"one", b"one"], True)

    @pytest.mark.django_db  # a response that is closed looks after the database's connections
    def test_content_is_closed_when_the_client_goes_away(self, settings: Any) -> None:
        closed: list[bool] = []

        def view(request: HttpRequest) -> StreamingHttpResponse:
            def steps() -> Iterator[str]:
                try:
                    yield "one"
                    yield "two"
                finally:
                    closed.append(True)

            return StreamingHttpResponse(steps())

        settings.MIDDLEWARE = [MIDDLEWARE]
        serve(settings, view)
        response = Client().get("/0/")
        assert next(response.streaming_content) == b"one"
        response.close()
        assert closed == [True]

    def test_a_file_stays_a_file_that_the_server_may_send_by_itself(self) -> None:
        middleware = FlagsmithMiddleware(lambda request: FileResponse(BytesIO(b"file")))
        response: Any = middleware(RequestFactory().get("/"))
        assert response.file_to_stream is not None
        assert b"".join(response.streaming_content) == b"file"


class TestScope:
    @each_chain
    def test_nothing_leaks_to_the_next_request_or_to_what_follows(
        self, settings: Any, get: Get, middleware: list[str]
    ) -> None:
        settings.MIDDLEWARE = middleware
        seen: list[Any] = []

        def view(request: HttpRequest) -> HttpResponse:
            seen.append(current_flags())
            return HttpResponse()

        def failing(request: HttpRequest) -> HttpResponse:
            seen.append(current_flags())
            raise RuntimeError("from the view")

        serve(settings, view, failing)
        get("/0/")
        with pytest.raises(RuntimeError, match="from the view"):
            get("/1/")
        get("/0/")
        assert len(set(map(id, seen))) == 3
        assert None not in seen
        assert current_flags() is None

    def test_without_the_middleware_reads_pin_on_the_request(self, settings: Any) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            flags = get_flags(request)
            assert flags.get_feature_value("banner_text") == "one"
            publish(banner_text="two")
            assert get_flags(request) is flags
            assert not hasattr(request, "flags")
            return render(request, "banner.html")

        serve(settings, view)
        publish(banner_text="one")
        assert Client().get("/0/").content.strip() == b"one|one|"


class TestMiddleware:
    def test_it_is_of_the_kind_of_what_it_wraps(self) -> None:
        async def aget_response(request: HttpRequest) -> HttpResponse:
            return HttpResponse("async")

        assert iscoroutinefunction(FlagsmithMiddleware(aget_response))
        assert not iscoroutinefunction(FlagsmithMiddleware(lambda request: HttpResponse()))
        response: Any = FlagsmithMiddleware(aget_response)(RequestFactory().get("/"))
        assert asyncio.run(response).content == b"async"

    @each_chain
    def test_request_flags_read_nothing_until_they_are_used(
        self, settings: Any, get: Get, middleware: list[str]
    ) -> None:
        settings.MIDDLEWARE = middleware

        def view(request: HttpRequest) -> HttpResponse:
            flags = request.flags
            publish(banner_text="published in the view")
            return HttpResponse(flags.get_feature_value("banner_text"))

        serve(settings, view)
        publish(banner_text="published before")
        assert get("/0/").content == b"published in the view"

"""The views: health, and what Flagsmith posts."""

from __future__ import annotations

import asyncio
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from django.core.cache import caches
from django.core.checks import run_checks
from django.core.handlers.asgi import ASGIRequest
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import reverse

from django_flagsmith_realtime import views
from django_flagsmith_realtime.environment.timestamps import parse_time
from django_flagsmith_realtime.storage.announcements import Announcement
from tests.support import recordings
from tests.support.backends import HangingCache
from tests.support.cases import each_case
from tests.support.documents import LEASE, PREFIX, configured_store, publish
from tests.support.processes import RedisServer
from tests.unit.monitoring.test_health import led


class User:
    is_active = True

    def __init__(self, *, is_staff: bool) -> None:
        self.is_staff = is_staff


class BrokenUser:
    @property
    def is_staff(self) -> bool:
        raise OSError("the database of the users is away")


def ask(user: Any = None, method: str = "get") -> Any:
    request = getattr(RequestFactory(), method)("/")
    if user:
        request.user = user
    return views.health(request)


def test_it_is_where_the_documentation_says(client: Client) -> None:
    assert reverse("flagsmith-health") == "/flagsmith/health/"
    assert reverse("flagsmith-webhook") == "/flagsmith/webhook/"
    assert reverse("flagsmith-queue-change", args=["KEY"]) == "/flagsmith/sse/environments/KEY/queue-change"
    assert run_checks(tags=["urls"]) == [], "Django finds nothing to warn of in the URLs that projects include"
    assert client.get("/flagsmith/health/").status_code == 503
    led(publish())
    answer = client.get("/flagsmith/health/")
    assert (answer.status_code, answer.json()["healthy"]) == (200, True)


def test_it_is_for_reading_and_no_cache_may_keep_it() -> None:
    for response in (ask(), ask(method="head")):
        assert "no-store" in response["Cache-Control"]
        assert "private" in response["Cache-Control"]
    for method in ("post", "put", "delete", "patch", "options"):
        assert ask(method=method).status_code == 405, method


@each_case("user", [None, User(is_staff=False), BrokenUser()])
def test_hosts_and_errors_are_for_staff(user: Any) -> None:
    led(publish())
    shown = ask(user).content.decode()
    assert "web-1" not in shown
    assert "It failed." not in shown
    shown = ask(User(is_staff=True)).content.decode()
    assert "web-1" in shown
    assert "It failed." in shown


@each_case(
    ("setting", "caches_setting"),
    [
        ({"ENVIRONMENT_KEY": 5}, None),
        ({"ENVIRONMENT_KEY": "ser.tests", "CACHE": "nowhere"}, None),
        ({"ENVIRONMENT_KEY": "ser.tests"}, {"default": {"BACKEND": "nowhere.Cache"}}),
    ],
)
def test_whatever_is_wrong_the_answer_is_503(setting: Any, caches_setting: Any) -> None:
    more = {"CACHES": caches_setting} if caches_setting else {}
    with override_settings(FLAGSMITH=setting, **more):
        assert ask().status_code == 503


def test_garbage_in_the_cache_is_no_500() -> None:
    for key in ("head", "status", "lease"):
        caches["default"].set(f"{PREFIX}:{key}", [b"\xff", {"a": object}])
    assert ask().status_code == 503


@override_settings(MIDDLEWARE=["django.contrib.auth.middleware.LoginRequiredMiddleware"])
def test_a_project_that_asks_everybody_to_log_in_lets_probes_through() -> None:
    assert views.health.login_required is False


@pytest.fixture
def hung(hanging: type[HangingCache]) -> Iterator[None]:
    hanging.open.clear()
    yield
    hanging.open.set()


def test_a_cache_that_hangs_does_not_stop_the_event_loop(hung: None) -> None:
    async def ask_while_it_hangs() -> int:
        asking = asyncio.ensure_future(AsyncClient().get("/flagsmith/health/"))
        while not HangingCache.asked:
            await asyncio.sleep(0)
        HangingCache.open.set()  # the loop goes on
        return (await asking).status_code

    assert asyncio.run(ask_while_it_hangs()) == 503


SECRET = "a-secret-of-sixteen"
TOKEN = "a-token-of-sixteen"


@pytest.fixture
def left(settings: Any) -> Iterator[Callable[[], list[Announcement]]]:
    """What was left for the leader, another process."""
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "WEBHOOK_SECRET": SECRET, "REALTIME_TOKEN": TOKEN}
    caches["default"].set(LEASE, "web-1:1:token")
    return lambda: list(configured_store().read_inbox()[1])


def sign(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, "sha256").hexdigest()


def post(path: str, body: bytes, **headers: str) -> Any:
    client = Client(enforce_csrf_checks=True)
    return client.post(f"/flagsmith/{path}", body, content_type="application/json", headers=headers)


def hook(body: bytes, signature: str | None = None) -> int:
    headers = {"X-Flagsmith-Signature": sign(body) if signature is None else signature}
    return int(post("webhook/", body, **headers).status_code)


def flipped(text: str, at: int) -> str:
    return text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]


SCOPE = {"type": "http", "method": "POST", "path": "/flagsmith/webhook/", "headers": [(b"host", b"testserver")]}


class TestWebhook:
    """POST /flagsmith/webhook/"""

    def test_each_recorded_one_is_announced(self, left: Callable[[], list[Announcement]]) -> None:
        bodies = {recorded.body for recorded in recordings.posts("webhooks")}
        assert len(bodies) > 10
        assert {hook(body) for body in bodies} == {200}
        assert len(left()) == len(bodies)
        assert {announcement.source for announcement in left()} == {"webhook"}
        times = {announcement.signed_at for announcement in left()}
        assert parse_time("2026-11-22T18:39:46.808034Z") in times
        assert None in times, "an event of the audit log has no timestamp"

    def test_one_bit_decides(self, left: Callable[[], list[Announcement]]) -> None:
        body = recordings.posts("webhooks")[0].body
        for at in (0, len(body) // 2, len(body) - 1):
            changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            assert hook(changed, sign(body)) == 403
        for at in (0, 63):
            assert hook(body, flipped(sign(body), at)) == 403
        assert left() == []

    @each_case("signature", ["", "sha256=", sign(b"{}", "another secret"), sign(b"{}") + "0", "\u20ac\xff"])
    def test_another_signature_or_none_is_refused(self, left: Callable[[], list[Announcement]], signature: str) -> None:
        assert hook(b"{}", signature) == 403
        assert post("webhook/", b"{}").status_code == 403

    @each_case(("key", "secret"), [("ser.tests", None), ("ser.tests", ""), (5, SECRET)])
    def test_without_a_secret_or_with_a_wrong_setting_there_is_nothing_here(
        self, key: Any, secret: str | None, settings: Any
    ) -> None:
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": key, "WEBHOOK_SECRET": secret}
        assert hook(b"{}", sign(b"{}", secret or "")) == 404

    @each_case("method", ["get", "head", "put", "patch", "delete", "options"])
    def test_it_is_posted(self, method: str, left: Callable[[], list[Announcement]]) -> None:
        assert getattr(Client(), method)("/flagsmith/webhook/").status_code == 405

    def test_what_is_too_large_is_refused(self, left: Callable[[], list[Announcement]], settings: Any) -> None:
        assert hook(b"x" * (1024 * 1024 + 1)) == 413
        assert hook(b"x" * (1024 * 1024)) == 200
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
        assert hook(b"x" * 11) == 200, "the project's limit is for its own forms"

    def test_of_a_body_in_chunks_no_more_is_read_than_may_be_accepted(
        self, left: Callable[[], list[Announcement]]
    ) -> None:
        body = BytesIO(b"x" * (10 * 1024 * 1024))
        assert views.webhook(ASGIRequest(SCOPE, body)).status_code == 413
        assert body.tell() == 1024 * 1024 + 1

    def test_a_client_that_goes_away_is_no_500(self, left: Callable[[], list[Announcement]]) -> None:
        class Broken(BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise OSError("Connection reset by peer")

        assert views.webhook(ASGIRequest(SCOPE, Broken())).status_code == 413

    def test_the_slash_at_its_end_may_be_forgotten(self, left: Callable[[], list[Announcement]]) -> None:
        assert reverse("flagsmith-webhook") == "/flagsmith/webhook/"
        assert post("webhook", b"{}", **{"X-Flagsmith-Signature": sign(b"{}")}).status_code == 200

    def test_a_cache_that_is_not_in_the_settings_is_said_at_once(
        self, settings: Any, left: Callable[[], list[Announcement]]
    ) -> None:
        settings.FLAGSMITH = {**settings.FLAGSMITH, "CACHE": "nowhere"}
        assert hook(b"{}") == 503

    def test_a_system_without_threads_is_no_500(
        self, left: Callable[[], list[Announcement]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            assert hook(b"{}") == 503
        assert hook(b"{}") == 200

    @each_case("view", [views.webhook, views.queue_change])
    def test_a_project_whose_requests_are_transactions_needs_no_database_for_it(self, view: Any) -> None:
        assert view._non_atomic_requests == {"default"}

    @each_case("body", [b"", b"\xff", b"[]", b"null", b'{"data": 5}', b'{"data": {"timestamp": []}}', b"[" * 50_000])
    def test_a_signed_body_means_a_change_whatever_it_says(
        self, body: bytes, left: Callable[[], list[Announcement]]
    ) -> None:
        assert hook(body) == 200
        assert left()[-1].signed_at is None

    def test_a_repeat_is_answered_and_announces_nothing(self, left: Callable[[], list[Announcement]]) -> None:
        assert (hook(b"{}"), hook(b"{}")) == (200, 200)
        assert len(left()) == 1

    def test_a_cache_that_fails_is_said_and_a_later_delivery_is_no_repeat(
        self, settings: Any, redis_server: RedisServer, left: Callable[[], list[Announcement]]
    ) -> None:
        settings.CACHES = {"default": redis_server.cache()}
        redis_server.kill()
        assert hook(b"{}") == 503
        redis_server.restart()
        caches["default"].set(LEASE, "web-1:1:token")
        assert hook(b"{}") == 200
        assert len(left()) == 1

    def test_async_servers_get_the_same_answer(self, left: Callable[[], list[Announcement]]) -> None:
        headers = {"X-Flagsmith-Signature": sign(b"{}")}

        async def ask() -> int:
            client = AsyncClient(enforce_csrf_checks=True)
            response = await client.post("/flagsmith/webhook/", b"{}", content_type="application/json", headers=headers)
            return int(response.status_code)

        assert asyncio.run(ask()) == 200
        assert len(left()) == 1


def queue_change(body: bytes, authorization: str | None = f"Token {TOKEN}", path: str = "sse/environments/key") -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    return int(post(f"{path}/queue-change", body, **headers).status_code)


BODY = b'{"updated_at": "2026-11-22T18:39:46.808034+00:00"}'


class TestQueueChange:
    """POST /flagsmith/sse/environments/KEY/queue-change"""

    def test_each_recorded_one_is_announced_with_its_time(self, left: Callable[[], list[Announcement]]) -> None:
        recorded = recordings.posts("queue_change")
        assert len(recorded) > 10
        for each in recorded:
            answer = post(each.path[1:], each.body, Authorization=f"Token {TOKEN}")
            assert (answer.status_code, answer.content) == (200, b"null")
        times = [parse_time(json.loads(each.body)["updated_at"]) for each in recorded]
        assert [announcement.time for announcement in left()] == times
        assert {announcement.source for announcement in left()} == {"queue-change"}

    def test_the_slash_that_the_api_may_double_is_fine(self, left: Callable[[], list[Announcement]]) -> None:
        assert queue_change(BODY, path="/sse/environments/key") == 200

    @each_case(
        "authorization", [None, "", TOKEN, f"Bearer {TOKEN}", f"Token {TOKEN}x", f"Token {flipped(TOKEN, 3)}", "\xff"]
    )
    def test_another_token_is_refused(self, authorization: str | None, left: Callable[[], list[Announcement]]) -> None:
        assert queue_change(BODY, authorization) == 401
        assert left() == []

    @each_case(
        "body",
        [b"", b"{}", b"[]", b"\xff", b'{"updated_at": null}', b'{"updated_at": true}', b'{"updated_at": "soon"}'],
    )
    def test_a_body_without_a_time_is_refused(self, body: bytes, left: Callable[[], list[Announcement]]) -> None:
        assert queue_change(body) == 422

    def test_without_a_token_there_is_nothing_here(self, settings: Any) -> None:
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests"}
        assert queue_change(BODY, "Token ") == 404

    def test_what_is_too_large_is_refused(self, left: Callable[[], list[Announcement]]) -> None:
        assert queue_change(b"x" * (1024 * 1024 + 1)) == 413

    def test_it_is_posted(self, left: Callable[[], list[Announcement]]) -> None:
        assert Client().get("/flagsmith/sse/environments/key/queue-change").status_code == 405

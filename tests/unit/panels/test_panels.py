"""The debug toolbar's panel: what a request reads of the flags, in each of Django's worlds."""

from __future__ import annotations

import asyncio
import html
import inspect
import re
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.utils.translation import override

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.environment.snapshot import Snapshot
from django_flagsmith_realtime.monitoring.formatting import format_local
from django_flagsmith_realtime.storage.usage import Usage
from django_flagsmith_realtime.test import override_flags
from tests.support.cases import each_case
from tests.support.documents import configured_store, pin, publish
from tests.support.processes import RedisServer
from tests.support.translations import PACKAGE, left_in_english, texts, translations
from tests.unit.panels import views

OURS = "django_flagsmith_realtime.middleware.FlagsmithMiddleware"
TOOLBAR = "debug_toolbar.middleware.DebugToolbarMiddleware"
PANEL = "django_flagsmith_realtime.panels.FlagsmithPanel"
OBSERVED = "django_flagsmith_realtime.panels.observed"
Get = Callable[..., HttpResponse]


@pytest.fixture(scope="module", autouse=True)
def toolbar() -> Iterator[None]:
    """Install the toolbar once for all tests: with other apps, Django imports the URLs and compiles each template anew."""
    jinja2 = {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "NAME": "jinja2",
        "DIRS": settings.TEMPLATES[0]["DIRS"],
        "OPTIONS": {"extensions": ["django_flagsmith_realtime.jinja2.FlagsmithExtension"]},
    }
    with (
        override_settings(DEBUG_TOOLBAR_PANELS=[PANEL]),  # before it is installed: it patches Django for its own panels
        override_settings(
            DEBUG=True,
            INTERNAL_IPS=["127.0.0.1"],
            INSTALLED_APPS=[*settings.INSTALLED_APPS, "debug_toolbar"],
            MIDDLEWARE=[TOOLBAR, OURS],
            ROOT_URLCONF="tests.unit.panels.urls",
            FLAGSMITH={**settings.FLAGSMITH, "IDENTITY": "tests.unit.panels.views.identify"},
            TEMPLATES=[*settings.TEMPLATES, jinja2],
        ),
    ):
        yield


def get_under_wsgi(url: str) -> HttpResponse:
    return Client().get(url)


def get_under_asgi(url: str) -> HttpResponse:
    return asyncio.run(AsyncClient().get(url))


each_handler = each_case("get", [get_under_wsgi, get_under_asgi])


def load(name: str) -> Any:
    """Import what imports the toolbar, which is possible while that is installed."""
    return import_module(name)


def panel() -> Any:
    """Return the panel of the request that was last answered, as the toolbar keeps it."""
    request_ids = list(load("debug_toolbar.store").get_store().request_ids())
    stored = load("debug_toolbar.toolbar").DebugToolbar.fetch(request_ids[-1], "FlagsmithPanel")
    assert stored
    return stored.get_panel_by_id("FlagsmithPanel")


def reads() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows of that panel by flag and identity."""
    return {(row["name"], row["identity"]): row for row in panel().get_stats()["flags"]}


def places(name: str, whose: str = "nobody") -> dict[str, int]:
    return {each["place"]: each["count"] for each in reads()[name, whose]["places"]}


def line(view: Any, text: str) -> str:
    """Return the place of a line in a view, as the panel names it."""
    source, first = inspect.getsourcelines(inspect.unwrap(view))
    [number] = [number for number, each in enumerate(source, first) if text in each]
    return f"tests/unit/panels/views.py:{number} in {inspect.unwrap(view).__name__}"


class TestReads:
    @each_case("view", [views.page, views.apage])
    @each_handler
    def test_of_a_view_and_its_templates_are_told_with_their_lines(self, get: Get, view: Any) -> None:
        publish(new_checkout=True)
        get(f"/{view.__name__}/")
        assert places("dark_mode") == {line(view, "dark_mode"): 1}
        assert places("new_checkout") == {"panel/page.html:4": 1}
        assert places("banner_text") == {"panel/base.html:2": 1}
        assert places("max_cart_items") == {"panel/part.html:3": 3}
        assert places("gift_cards") == {"panel/part.html:3": 3}

    @each_handler
    def test_of_jinja2_are_told_with_their_lines(self, get: Get) -> None:
        publish()
        get("/jinja/")
        assert places("banner_text") == {"panel/page.jinja:2": 1}
        assert places("new_checkout") == {"panel/page.jinja:4": 1}

    @each_case(
        ("url", "place"),
        [
            ("/checkout/", "@flag_enabled on tests.unit.panels.views.checkout"),
            ("/acheckout/", "@flag_enabled on tests.unit.panels.views.acheckout"),
            ("/class/", "FlagEnabledMixin of tests.unit.panels.views.Checkout"),
        ],
    )
    @each_case("enabled", [True, False])
    @each_handler
    def test_of_views_behind_a_flag_are_told_by_the_view(self, get: Get, url: str, place: str, enabled: bool) -> None:
        publish(new_checkout=enabled)
        get(url)
        assert places("new_checkout") == {place: 1}
        assert reads()["new_checkout", "nobody"]["enabled"] is enabled

    @each_handler
    def test_tell_whose_they_are(self, get: Get) -> None:
        publish()
        get("/calls/?who=user_bob")
        view = views.calls
        assert places("max_cart_items", "user_bob") == {line(views.limit, "max_cart_items"): 1}
        assert places("banner_text", "user_bob") == {line(view, "caller's"): 1, line(view, "request.flags["): 1}
        assert reads()["dark_mode", "user_alice"]["count"] == 2
        assert places("dark_mode") == {line(view, "identity=None"): 1}
        assert panel().get_stats()["identity"] == "user_bob, plan = 'gold'"
        assert [whose for _, whose in reads()] == ["user_bob"] * 3 + ["user_alice", "nobody"]

    def test_show_what_was_read_and_why_and_link_to_flagsmith(self) -> None:
        snapshot = publish()
        Client().get("/calls/?who=user_bob")
        rows = reads()
        assert rows["banner_text", "user_bob"]["value"] == '"Welcome back, gold member"'
        assert rows["banner_text", "user_bob"]["reason"] == "TARGETING_MATCH; segment=gold_members"
        assert rows["nowhere", "user_bob"]["value"] == '"as the caller says"'
        assert rows["nowhere", "user_bob"]["reason"] == "ERROR; code=FLAG_NOT_FOUND"
        feature = snapshot.environment.flags["banner_text"].feature_id
        assert f'/features?feature={feature}"><code>banner_text</code></a>' in panel().content
        assert "<td><code>nowhere</code></td>" in panel().content, "which is not in Flagsmith"

    def test_with_a_default_that_is_no_json_are_told(self) -> None:
        publish()
        assert Client().get("/defaults/").status_code == 200
        values = {name: row["value"] for (name, _), row in reads().items()}
        assert values == {"unknown_0": "Decimal('1.5')", "unknown_1": "{(1, 2): 3}"}

    @each_handler
    def test_do_not_take_the_place_of_a_projects_own(self, settings: Any, get: Get) -> None:
        settings.MIDDLEWARE = ["tests.unit.panels.views.OwnFlags", TOOLBAR, OURS]
        assert "of the project" in get("/own-flags/").content.decode()

    @each_handler
    def test_in_threads_of_an_async_view_are_told(self, get: Get) -> None:
        publish()
        get("/acalls/")
        assert places("max_cart_items") == {line(views.limit, "max_cart_items"): 1}

    def test_before_a_view_crashes_are_told(self) -> None:
        publish()
        Client(raise_request_exception=False).get("/crash/")
        assert places("max_cart_items") == {line(views.limit, "max_cart_items"): 1}

    @each_case("middleware", [[OURS, TOOLBAR], [TOOLBAR, OURS]])
    @each_handler
    def test_are_told_wherever_the_toolbar_stands(self, settings: Any, get: Get, middleware: list[str]) -> None:
        settings.MIDDLEWARE = middleware
        publish()
        get("/page/")
        assert places("dark_mode") == {line(views.page, "dark_mode"): 1}
        get("/calls/")
        assert places("max_cart_items") == {line(views.limit, "max_cart_items"): 1}

    @each_handler
    def test_without_our_middleware_the_panel_changes_nobodys_identity(self, settings: Any, get: Get) -> None:
        settings.MIDDLEWARE = [TOOLBAR]
        publish()
        assert get("/without-scope/?who=user_bob").content.startswith(b"<body>None")
        assert places("dark_mode", "user_bob") == {line(views.without_scope, "dark_mode"): 1}

    def test_of_overridden_flags_are_told(self) -> None:
        publish(dark_mode=False)
        with override_flags(dark_mode=True):
            Client().get("/page/")
        assert reads()["dark_mode", ""]["enabled"] is True


class TestSnapshot:
    def test_is_told_with_its_age_and_in_the_subtitle_with_the_number_of_flags(self) -> None:
        snapshot = publish()
        Client().get("/page/")
        told = panel().get_stats()["snapshot"]
        assert told["version"] == snapshot.version[:8]
        assert told["environment"] == "Production"
        assert (told["updated_at"], told["published_at"]) == (snapshot.head.updated_at, snapshot.head.published_at)
        shown = html.unescape(panel().content)
        assert f"<td>{format_local(snapshot.updated_at)}, " in shown
        assert f"<td>{format_local(snapshot.published_at)}, just now</td>" in shown
        assert panel().nav_subtitle == f"5 flags, version {told['version']}"
        Client().get("/checkout/")
        assert panel().nav_subtitle == f"1 flag, version {told['version']}"

    @each_handler
    def test_is_not_asked_for_by_the_panel(self, settings: Any, get: Get, recording: list[tuple[str, str]]) -> None:
        publish()
        recording.clear()
        get("/plain/")
        assert recording == []
        assert panel().get_stats() == {"flags": [], "snapshot": None, "identity": "", "cache_reads": 0}
        assert "<td>not asked for</td>" in panel().content
        assert panel().nav_subtitle == "none read"

    @each_handler
    def test_reads_of_the_cache_are_counted_as_a_real_redis_does(
        self, redis_server: RedisServer, settings: Any, get: Get
    ) -> None:
        settings.CACHES = {"default": redis_server.cache()}

        def asked(url: str) -> int:
            before = redis_server.commands().get("get", 0)
            get(url)
            return int(redis_server.commands()["get"]) - before

        publish()
        counts = [asked("/page/"), panel().get_stats()["cache_reads"]]
        counts += [asked("/acalls/"), panel().get_stats()["cache_reads"]]
        publish(dark_mode=False)
        counts += [asked("/acalls/"), panel().get_stats()["cache_reads"]]
        assert counts == [2, 2, 1, 1, 2, 2]


class TestPage:
    def test_has_all_of_it_escaped(self) -> None:
        publish(banner_text="<script>alert(1)</script>")
        Client().get("/page/?who=<b>&plan=free")
        content = panel().content
        assert "&lt;script&gt;alert(1)" in content
        assert "&lt;b&gt;" in content
        assert not re.search(r"<script|<style|<b>|style=|\son\w+=", content)
        assert "panel/part.html:3 \N{MULTIPLICATION SIGN} 3" in html.unescape(content).replace(
            "\N{NO-BREAK SPACE}", " "
        )

    def test_tells_that_nobody_listens_and_of_a_version_that_was_published_since(self) -> None:
        publish()
        Client().get("/page/")
        assert "Nobody is listening. Start manage.py flagsmith_listen" in panel().content
        assert "has been published since" not in panel().content
        newer: Snapshot = publish(dark_mode=False)
        assert f"<code>{newer.version[:8]}</code> has been published since" in panel().content

    def test_tells_when_all_processes_last_read_a_flag(self, settings: Any) -> None:
        publish()
        Client().get("/page/")
        assert "In all processes" not in panel().content
        settings.FLAGSMITH = {**settings.FLAGSMITH, "USAGE": True}
        configured_store().write_usage(Usage(since=time.time()).add({"banner_text": 12}, time.time()))
        assert "<td>last read just now, 12 reads a day</td>" in panel().content

    def test_is_there_where_there_are_no_flags(self) -> None:
        Client().get("/page/")
        assert "There are no flags in the cache" in panel().content

    def test_is_in_the_language_of_its_reader(self, settings: Any) -> None:
        settings.FLAGSMITH = {**settings.FLAGSMITH, "USAGE": True}
        publish()
        Client().get("/page/")
        english = panel().content
        publish(dark_mode=False)
        with override("de"):
            assert (str(panel().title), panel().nav_subtitle[:17]) == ("Feature-Flags", "5 Flags, Version ")
            german = panel().content
            assert left_in_english(german, "de") == set()
            assert "<td>niemand</td>" in german
            Client().get("/plain/")
            assert panel().nav_subtitle == "keine gelesen"
            assert "Dieser Request hat kein Flag gelesen." in panel().content
        catalog = translations(PACKAGE / "locale/de/LC_MESSAGES/django.mo")
        same = {text for text in {*texts(english)} & {*texts(german)} if catalog.get(text) != text}
        assert {
            text for text in same if not re.fullmatch(r"Production|\d+|STATIC|[\w/]+\.(html|py):\d+.*", text)
        } == set()

    def test_is_what_the_toolbar_serves(self) -> None:
        publish()
        page = Client().get("/page/").content.decode()
        assert "Feature flags" in page
        if hasattr(load("debug_toolbar.panels").Panel, "nav_icon"):  # as of 8.0
            assert 'class="djdt-nav-icon"' in page
        request_id = panel().toolbar.request_id
        answer = Client().get("/__debug__/render_panel/", {"request_id": request_id, "panel_id": "FlagsmithPanel"})
        assert "panel/page.html:4" in answer.json()["content"]


class TestOff:
    """Nothing is recorded."""

    def is_observed(self, client: Client) -> bool:
        return bool(client.get("/page/").wsgi_request.flags.pin.observers)

    def test_where_the_panel_is_switched_off_or_the_toolbar_not_shown_or_not_installed(self, settings: Any) -> None:
        publish()
        client = Client()
        assert self.is_observed(client)
        client.cookies["djdtFlagsmithPanel"] = "off"
        assert not self.is_observed(client)
        settings.INTERNAL_IPS = []
        assert not self.is_observed(Client())
        settings.MIDDLEWARE = [OURS]
        assert not self.is_observed(Client())

    @each_handler
    def test_after_the_request(self, get: Get) -> None:
        publish()
        get("/page/")
        assert get_flags().pin.observers == get_flags(RequestFactory().get("/")).pin.observers == ()


def test_the_panel_keeps_the_snapshot_that_the_request_saw_before() -> None:
    request = RequestFactory().get("/")
    publish()
    pin(request)
    before = get_flags(request).snapshot
    publish(dark_mode=False)
    assert load(OBSERVED).Observation(get_flags(request)).snapshot is before


def test_a_toolbar_behind_the_middleware_sees_awaited_reads_too(settings: Any) -> None:
    settings.MIDDLEWARE = [OURS, TOOLBAR]
    publish()
    asyncio.run(AsyncClient().get("/apage/"))
    assert "dark_mode" in {row["name"] for row in panel().get_stats()["flags"]}


@each_case(
    ("module", "file", "place"),
    [
        ("shop.views", "/srv/app/shop/views.py", "shop/views.py:1 in <module>"),
        ("shop", "/srv/app/shop/__init__.py", "shop/__init__.py:1 in <module>"),
        ("__main__", "/srv/app/script.py", "script.py:1 in <module>"),
    ],
)
def test_a_file_is_named_from_its_package_on(module: str, file: str, place: str) -> None:
    names = {"__name__": module, "caller": load("django_flagsmith_realtime.panels.places").caller}
    exec(compile("place = caller()", file, "exec"), names)
    assert names["place"] == place


def test_the_package_can_be_used_without_the_toolbar() -> None:
    import django_flagsmith_realtime

    package = Path(django_flagsmith_realtime.__file__).parent
    importing = {
        path for path in package.rglob("*.py") if re.search(r"^(from|import) debug_toolbar", path.read_text(), re.M)
    }
    assert {path.relative_to(package).as_posix() for path in importing} == {"panels/panel.py"}
    assert configured_store().cache.reads == 0

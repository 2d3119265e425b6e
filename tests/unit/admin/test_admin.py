"""The admin page: who may see it, what it shows, and what it hides."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import unescape
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection
from django.template.loader import render_to_string
from django.test import Client, RequestFactory, override_settings
from django.utils.http import urlencode

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.admin.page import page_context
from django_flagsmith_realtime.environment.snapshot import parse_document
from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.storage.usage import DAY, Usage
from django_flagsmith_realtime.test import override_flags
from tests.support.backends import use
from tests.support.cases import each_case
from tests.support.documents import KEY, RECORDED, configured_store, make_document, publish
from tests.support.sources import FakeSource
from tests.unit.monitoring.test_health import led

APP = "django_flagsmith_realtime"
PAGE = f"/admin/{APP}/flags/"
STATUS = f"{PAGE}status/"
PERMISSION = "auth.view_group"

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def admin_project() -> Iterator[None]:
    with override_settings(
        ROOT_URLCONF="tests.support.admin_project.urls",
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django_flagsmith_realtime.middleware.FlagsmithMiddleware",
        ],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",  # to log in costs a third
        FLAGSMITH={"ENVIRONMENT_KEY": KEY, "ADMIN_PERMISSION": PERMISSION},
    ):
        yield


def client_of(*permissions: str, **user: Any) -> Client:
    client, made = Client(), User.objects.create(username="ann", **user)
    for permission in permissions:
        app, _, codename = permission.partition(".")
        made.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client.force_login(made)
    return client


@pytest.fixture
def superuser() -> Client:
    return client_of(is_staff=True, is_superuser=True)


def text(response: Any) -> str:
    """Return what a page says, without its markup."""
    main = response.content.decode().partition('id="content-main"')[2]
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main)))


def context(query: dict[str, str], **form: str) -> dict[str, Any]:
    """Return what the page would show, without rendering it, which costs more than all the rest."""
    path = f"{PAGE}?{urlencode(query)}"
    return page_context(RequestFactory().post(path, form) if form else RequestFactory().get(path))


def names(context: Any) -> list[str]:
    return [each["flag"].name for each in context["page"]]


def publish_and_signal(**flags: Any) -> None:
    Publisher(source=FakeSource(lambda: make_document(**flags)), store=configured_store()).refresh()


class TestWhoMaySeeIt:
    def test_nobody_who_is_not_logged_in(self) -> None:
        for url in (PAGE, STATUS):
            response = Client().get(url)
            assert response.status_code == 302
            assert response["Location"].startswith("/admin/login/")

    def test_no_staff_without_the_permission(self) -> None:
        client = client_of(is_staff=True)
        assert [client.get(url).status_code for url in (PAGE, STATUS)] == [403, 403]
        assert client.post(PAGE, {"identifier": "42"}).status_code == 403
        assert "django_flagsmith_realtime" not in client.get("/admin/").content.decode()

    def test_staff_with_the_permission(self) -> None:
        client = client_of(PERMISSION, is_staff=True)
        assert [client.get(url).status_code for url in (PAGE, STATUS)] == [200, 200]
        assert PAGE in client.get("/admin/").content.decode()

    def test_no_holder_of_the_permission_who_is_not_staff(self) -> None:
        client = client_of(PERMISSION)
        assert [client.get(url).status_code for url in (PAGE, STATUS)] == [302, 302]

    def test_superusers_only_where_no_permission_is_named(self, settings: Any) -> None:
        client = client_of(PERMISSION, is_staff=True)
        for is_superuser, status in ((False, 403), (True, 200)):
            User.objects.update(is_superuser=is_superuser)
            for setting in ({}, {"ADMIN_PERMISSION": None}):
                settings.FLAGSMITH = {"ENVIRONMENT_KEY": KEY, **setting}
                assert client.get(PAGE).status_code == status

    def test_nobody_may_change_anything(self, superuser: Client) -> None:
        for method in ("put", "patch", "delete"):
            assert getattr(superuser, method)(PAGE).status_code == 405
        assert superuser.post(STATUS).status_code == 405
        index = superuser.get("/admin/django_flagsmith_realtime/").content.decode()
        assert "addlink" not in index

    def test_a_form_of_another_site_is_refused(self) -> None:
        User.objects.create(username="eve", is_staff=True, is_superuser=True)
        client = Client(enforce_csrf_checks=True)
        client.force_login(User.objects.get())
        assert client.post(PAGE, {"identifier": "42"}).status_code == 403


class TestEntry:
    def test_the_index_the_apps_page_and_each_site_link_to_it(self, superuser: Client) -> None:
        for page in ("/admin/", "/admin/django_flagsmith_realtime/", PAGE):
            assert f'href="{PAGE}"' in superuser.get(page).content.decode()
        other = PAGE.replace("admin", "other", 1)
        assert f'href="{other}"' in superuser.get("/other/").content.decode()
        assert f'data-source="{other}status/"' in superuser.get(other).content.decode()

    @pytest.mark.django_db(databases=["default", "cache"])
    def test_it_needs_no_table_and_no_migration_and_dumpdata_reads_none(self) -> None:
        call_command("makemigrations", "--check", "--dry-run", skip_checks=True, verbosity=0)  # exits for a change
        assert not [name for name in connection.introspection.table_names() if APP in name]
        assert not ContentType.objects.filter(app_label=APP).exists()
        call_command("dumpdata", APP, stdout=StringIO())

    def test_djangos_checks_find_nothing(self) -> None:
        assert run_checks(tags=["admin", "models"]) == []


class TestFlags:
    def test_each_is_listed_as_it_is_with_a_link_to_its_place_in_flagsmith(self, superuser: Client) -> None:
        snapshot = publish(banner_text="<script>alert(1)</script>", new_checkout=False)
        page = superuser.get(PAGE)
        assert names(page.context) == sorted(state["feature"]["name"] for state in RECORDED["feature_states"])
        flags = {each["flag"].name: each["flag"] for each in page.context["page"]}
        assert flags["banner_text"].state.value == "<script>alert(1)</script>"
        assert b"<script>alert" not in page.content
        assert not flags["new_checkout"].state.enabled
        assert [each.segment for each in flags["banner_text"].segment_overrides] == ["gold_members", "ten_percent"]
        assert "gold_members on" in text(page)
        assert "server-side only" in text(page)
        feature = snapshot.environment.flags["dark_mode"].feature_id
        assert f'/environment/{snapshot.environment.api_key}/features?feature={feature}"' in page.content.decode()

    def test_with_usage_it_shows_which_are_not_read(self, superuser: Client, settings: Any) -> None:
        publish()
        assert "Not read for 90 days" not in str(context({})["filters"])
        settings.FLAGSMITH = {**settings.FLAGSMITH, "USAGE": True}
        assert "Not read for 90 days" not in str(context({})["filters"]), "nothing was counted yet"
        now = time.time()
        usage = Usage(since=now - 100 * DAY).add({"gift_cards": 1}, now - 95 * DAY).add({"new_checkout": 7}, now)
        configured_store().write_usage(usage)
        shown = text(superuser.get(PAGE))
        assert "Not read for 90 days" in shown
        assert "new_checkout last read just now, 1.0 reads a day" in shown
        assert "gift_cards last read 95 d ago off" in shown
        assert "banner_text not read since counting began 100 d ago" in shown
        unread = names(context({"state": "unread"}))
        assert set(get_flags()) - set(unread) == {"new_checkout"}

    @each_case(
        ("query", "expected"),
        [
            ({"q": "BANNER_te"}, ["banner_text"]),
            ({"q": "gold_members checkout"}, ["new_checkout"]),
            ({"q": "no such flag"}, []),
            ({"q": "new_checkout", "state": "on"}, []),
            ({"q": "new_checkout", "state": "off"}, ["new_checkout"]),
            ({"q": "new_checkout", "state": "overridden"}, ["new_checkout"]),
            ({"q": "new_checkout", "state": "changed"}, []),
            ({"q": "new_checkout", "state": "sideways", "p": "x"}, ["new_checkout"]),
        ],
    )
    def test_they_can_be_searched_and_filtered(self, query: dict[str, str], expected: list[str]) -> None:
        publish(new_checkout=False)
        assert names(context(query)) == expected

    def test_many_come_in_pages(self, superuser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("django_flagsmith_realtime.admin.page.PER_PAGE", 20)
        publish()
        assert "22 flags page 1 of 2 Next" in text(superuser.get(PAGE))
        assert len(names(context({"p": "2"}))) == 2

    def test_no_key_and_no_identity_with_an_override_is_shown_and_nothing_is_inline(self, superuser: Client) -> None:
        publish()
        publish_and_signal(new_checkout=True, banner_text="Hello")
        led(publish(banner_text="More"))
        hidden = [KEY, *(each["identifier"] for each in RECORDED["identity_overrides"])]
        assert len(hidden) > 2
        pages = [superuser.post(PAGE, {"identifier": "42"}), superuser.get(STATUS)]
        for page in pages:
            assert page.status_code == 200
            assert [each for each in hidden if each in page.content.decode()] == []
        assert "1 identity" in text(pages[0])
        own = pages[0].content.decode().partition('id="content-main"')[2].partition('id="footer"')[0]
        assert not re.search(r"<style|<script|\sstyle=|\son\w+=", own)


class TestIdentities:
    def test_one_with_traits_is_evaluated_and_the_filter_stays(self, superuser: Client) -> None:
        publish(banner_text="Hello")
        page = superuser.post(f"{PAGE}?q=banner_text", {"identifier": "42", "traits": "plan=gold\nage = 40"})
        assert names(page.context) == ["banner_text"]
        own = {each["flag"].feature_name: each for each in page.context["evaluation"]["own"]}
        assert own.keys() == {"banner_text", "new_checkout"}
        assert own["banner_text"]["value"] == "Welcome back, gold member"
        assert "gold_members" in own["banner_text"]["flag"].reason
        assert "For 42 with 2 traits: 2 of 22 flags differ from" in text(page)
        assert "20 flags as everybody has them" in text(page)

    @each_case(
        ("data", "error"),
        [
            ({"identifier": ""}, "This field is required."),
            ({"identifier": "42", "traits": "plan"}, "'plan' is not key=value"),
            ({"identifier": "42", "traits": "a=1\na=2"}, "'a' is there twice"),
            ({"identifier": "42", "traits": '{"plan": }'}, "This is not a JSON object"),
        ],
    )
    def test_bad_input_is_an_error_of_the_form(self, data: dict[str, str], error: str) -> None:
        publish()
        shown = context({}, **data)
        assert shown["evaluation"] is None
        assert error in unescape(str(shown["identity_form"].errors))

    def test_errors_are_shown_beside_their_fields(self, superuser: Client) -> None:
        page = superuser.post(PAGE, {"identifier": "", "traits": "plan"})
        assert page.status_code == 200
        assert "This field is required." in text(page)
        assert "'plan' is not key=value" in text(page)

    def test_the_identity_is_in_no_url_and_in_no_error_report(self, superuser: Client) -> None:
        publish()
        page = superuser.get(PAGE, {"identifier": "42", "traits": "plan=gold"})
        assert page.context["evaluation"] is None
        assert '"None"' not in page.content.decode(), "an attribute without a value"
        page = superuser.post(PAGE, {"identifier": "alice@northwind.example"})
        assert page.wsgi_request.sensitive_post_parameters == "__ALL__"
        assert re.findall(r'(?:href|action)="[^"]*alice', page.content.decode()) == []
        assert page["Cache-Control"].endswith("private")
        assert "no-store" in page["Cache-Control"]


class TestChanges:
    def test_the_last_ones_are_shown(self, superuser: Client) -> None:
        publish_and_signal(new_checkout=False, banner_text="Old")
        assert "No change since" in text(superuser.get(PAGE))
        publish_and_signal(new_checkout=True, banner_text="New")
        said = text(superuser.get(PAGE))
        assert "new_checkout state off → on just now" in said
        assert "banner_text value Old → New just now" in said
        assert names(context({"state": "changed"})) == ["banner_text", "new_checkout"]


class TestTroubles:
    def test_an_empty_cache(self, superuser: Client) -> None:
        said = text(superuser.post(PAGE, {"identifier": "42"}))
        assert "There are no flags yet." in said
        assert "There are no flags to evaluate." in said
        assert "Nobody is listening" in said

    def test_a_cache_that_fails(self, superuser: Client, settings: Any) -> None:
        use(settings, "nowhere.Cache")
        assert "The cache failed" in text(superuser.get(PAGE))
        assert superuser.get(STATUS).json()["status"][0]["parts"][0]["level"] == "error"

    @each_case("setting", [{"NO_KEY": 1}, {"ENVIRONMENT_KEY": KEY, "CACHE": "nowhere"}])
    def test_wrong_settings(self, superuser: Client, settings: Any, setting: dict[str, Any]) -> None:
        settings.FLAGSMITH = setting
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "flagsmith" not in name]  # that fails before
        assert superuser.get("/admin/").status_code == 200
        assert "FLAGSMITH[" in text(superuser.get(PAGE))
        assert superuser.get(STATUS).status_code == 503

    def test_flags_that_a_test_overrides(self, superuser: Client) -> None:
        publish()
        with override_flags(new_checkout=True):
            said = text(superuser.post(PAGE, {"identifier": "42"}))
        assert "A test overrides the flags" in said
        assert "new_checkout" in said
        assert context({})["count"] == 22

    def test_an_environment_without_flags(self, superuser: Client) -> None:
        document = parse_document({**RECORDED, "feature_states": [], "identity_overrides": []})
        configured_store().publish(document, after=None)
        assert "environment has no flags" in text(superuser.get(PAGE))


def test_it_leaves_no_document_in_memory() -> None:
    publish()
    assert context({})["count"] == 22
    snapshot = get_flags().snapshot
    assert snapshot
    assert "document" not in vars(snapshot.environment)


def test_a_nonce_is_passed_on() -> None:
    template, problem = f"{APP}/admin/flags.html", {"problem": "none"}
    html = render_to_string(template, {**problem, "csp_nonce": "abc"})
    own = [tag for tag in re.findall(r"<(?:script|link)[^>]*>", html) if APP in tag]
    assert len(own) == 2
    assert all(' nonce="abc"' in tag for tag in own)
    assert f'{APP}/admin.css">' in render_to_string(template, problem)


def test_the_status_is_that_of_the_command(superuser: Client) -> None:
    snapshot = publish()
    led(snapshot)
    told = superuser.get(STATUS).json()
    assert told["version"] == snapshot.version
    assert [line["label"] for line in told["status"]][:4] == ["Health", "Listener", "Stream", "Snapshot"]
    [verdict] = told["status"][0]["parts"]
    assert (verdict["mark"], verdict["level"]) == ("good", "success")
    assert "web-1, process 42" in text(superuser.get(PAGE))

"""Pages are in the language of their reader; JSON, metrics and what a terminal shows are in English."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.management import call_command
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.utils.translation import override

from django_flagsmith_realtime.admin.page import page_context
from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.environment.snapshot import parse_document
from django_flagsmith_realtime.environment.warnings import NO_OVERRIDES, OTHER_SPLITS
from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.monitoring.formatting import format_local
from django_flagsmith_realtime.monitoring.health import check_health
from django_flagsmith_realtime.openfeature import FlagsmithProvider
from django_flagsmith_realtime.storage.status import BACKING_OFF, Failure, Fetch, StreamStatus
from tests.support.backends import use
from tests.support.documents import KEY, PREFIX, RECORDED, configured_store, make_document, publish
from tests.support.processes import require
from tests.support.sources import FakeSource
from tests.support.translations import CATALOGS, PACKAGE, left_in_english, texts, translations
from tests.unit.monitoring.test_health import led, wait
from tests.unit.storage.test_status import FULL

PAGE = "/admin/django_flagsmith_realtime/flags/"
Get = Callable[..., str]


def without_frame(page: str) -> str:
    """Return what is ours of a page of the admin."""
    return page.partition('<div id="content-main" class="flagsmith-page">')[2].partition('id="footer"')[0]


def render(language: str, query: str = "", **form: str) -> str:
    """Render the page's flags for a reader of some language, without a request, whose frame costs more than they do."""
    factory, path = RequestFactory(), f"{PAGE}{query}"
    request = factory.post(path, form) if form else factory.get(path)
    with override(language):
        page = render_to_string("django_flagsmith_realtime/admin/flags.html", page_context(request), request)
    return without_frame(page)


@pytest.fixture
def get(settings: Any, db: None) -> Get:
    """Return a page of the admin, for a superuser who reads some language."""
    settings.ROOT_URLCONF = "tests.support.admin_project.urls"
    settings.TIME_ZONE = "Europe/Berlin"
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": KEY, "USAGE": True}
    client = Client()
    client.force_login(User.objects.create(username="ann", is_staff=True, is_superuser=True))

    def get(language: str, *, path: str = PAGE) -> str:
        page: str = client.get(path, headers={"accept-language": language}).content.decode()
        return without_frame(page) or page

    return get


def publish_changes() -> None:
    """Publish two versions that differ in each way that the list of changes can show."""
    other = deepcopy(RECORDED)
    other["feature_states"] = [each for each in other["feature_states"] if each["feature"]["name"] != "gift_cards"]
    for state in other["feature_states"]:
        for variant in state["multivariate_feature_state_values"]:
            variant["percentage_allocation"] = 7
    for segment in other["project"]["segments"]:
        segment["rules"] = []
        for state in segment["feature_states"]:
            state.update(enabled=not state["enabled"])
    other["identity_overrides"] = other["identity_overrides"][1:]
    documents = iter([make_document(), parse_document(other), make_document(new_checkout=False, banner_text="Hello")])
    publisher = Publisher(source=FakeSource(lambda: next(documents)), store=configured_store())
    for _ in range(3):
        assert publisher.refresh()


def break_down(now: float) -> None:
    """Write the status of a leader that has each problem and each warning."""
    led(
        publish(),
        written_at=now - 30,
        leader=replace(FULL.leader, since=now - 4_000),
        stream=StreamStatus(BACKING_OFF, now - 90, None, now - 4_000),
        fetch=Fetch(now - 5, 1_234.5),
        failure=Failure(now - 60, "503"),
        latency=replace(FULL.latency, last=1.5),
        warnings=(NO_OVERRIDES, OTHER_SPLITS),
        webhook_missed_at=now - 60,
        failing_since=now - 10_000,
    )
    wait("web-2:7", "web-3:8", "web-4:9")


def pages(language: str) -> list[str]:
    """Return pages that say together what the page can say of flags."""
    return [
        render(language, identifier="42", traits="plan=gold\nage=40"),
        render(language, "?q=banner", identifier="42", traits="{1}"),
        render(language, "?q=nothing+like+this", identifier="42", traits="plan"),
    ]


@pytest.mark.parametrize("language", [catalog.parent.parent.name for catalog in CATALOGS])
class TestAdminPage:
    @pytest.fixture(autouse=True)
    def admin_project(self, settings: Any) -> None:
        settings.ROOT_URLCONF = "tests.support.admin_project.urls"
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": KEY, "USAGE": True}

    def test_nothing_is_left_in_english(self, language: str, settings: Any) -> None:
        own, english = [render(language)], [render("en")]
        publish_changes()
        break_down(time.time())
        own, english = own + pages(language), english + pages("en")
        settings.FLAGSMITH = {**settings.FLAGSMITH, "LISTENER": "inline"}
        caches["default"].delete_many([f"{PREFIX}:lease", f"{PREFIX}:head"])
        own.append(render(language))
        assert set().union(*(left_in_english(page, language) for page in own)) == set()
        catalog = translations(PACKAGE / f"locale/{language}/LC_MESSAGES/django.mo")
        same = {text for page in own for text in texts(page)} & {text for page in english for text in texts(page)}
        words = {text.rstrip(":") for text in same if re.search("[A-Za-z]", text)}
        assert {word for word in words if catalog.get(word) != word} == set()

    def test_what_a_flag_was_and_is_now_is_translated(self, language: str) -> None:
        publish_changes()
        catalog = translations(PACKAGE / f"locale/{language}/LC_MESSAGES/django.mo")
        shown = " ".join(re.sub("<[^>]+>", " ", render(language)).split())
        for old, new in (("state", "on → off"), ("flag", "nothing → there")):
            assert f"{catalog[old]} {' → '.join(catalog[word] for word in new.split(' → '))}" in shown


def test_dates_numbers_and_the_status_are_german(get: Get) -> None:
    snapshot = publish()
    now = time.time()
    led(snapshot, written_at=now, fetch=Fetch(now - 65, 1_234.5), failure=None, warnings=())
    shown = " ".join(texts(get("de")))
    assert "Requests 0 in der letzten Stunde, 0 in den letzten 24 Stunden; der letzte, vor 1 min " in shown
    assert re.search(r"vor 1 min \d+ s, dauerte 1\.234,50 s", shown)
    with override("de"):
        assert f"geändert am {format_local(snapshot.updated_at)}, vor" in shown
    told = json.loads(get("de", path=f"{PAGE}status/"))["status"]
    assert [line["label"] for line in told][:4] == ["Zustand", "Listener", "Stream", "Snapshot"]
    assert told[0]["parts"][0]["mark"] == "gut"


def test_programs_and_terminals_get_english(get: Get, settings: Any) -> None:
    use(settings, "tests.support.backends.SharedCache")
    settings.LANGUAGE_CODE = "de"
    settings.ROOT_URLCONF = "tests.support.project.urls"
    nobody, told, output = "Nobody is listening.", list[str | None](), StringIO()
    with override("de"):
        assert check_health(get_config(), configured_store()).problems[-1].text.startswith("Es läuft kein Listener.")
        health = json.loads(get("de", path="/flagsmith/health/"))
        with pytest.raises(SystemExit):
            call_command("flagsmith_status", stdout=output)
        provider = FlagsmithProvider()
        provider.attach(lambda provider, event, details: told.append(details.message))
        provider._emit_health()
    assert health["troubles"] == ["no snapshot", "no listener"]
    assert nobody in health["remedies"][-1]
    assert nobody in output.getvalue()
    assert nobody in str(told)


# The catalogs: `make messages` writes them


def run(*command: str, at: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_each_text_is_translated_and_compiled(tmp_path: Path) -> None:
    require("xgettext")
    shutil.copytree(PACKAGE, tmp_path / "package")
    for command in ("makemessages --all --no-location --no-wrap --no-obsolete", "compilemessages"):  # as the Makefile's
        run(sys.executable, "-m", "django", *command.split(), "-v", "0", at=tmp_path / "package")
    assert CATALOGS
    for catalog in CATALOGS:
        made = tmp_path / "package" / catalog.relative_to(PACKAGE)
        old, new = (re.sub(r"^.POT-Creation-Date.*\n", "", each.read_text(), flags=re.M) for each in (catalog, made))
        assert old == new, "run `make messages`, and translate what is new"
        assert "#, fuzzy" not in new
        assert "\n#~ " not in new, "these texts are not used any more"
        assert translations(catalog.with_suffix(".mo")) == translations(made.with_suffix(".mo"))
        assert run("msgattrib", "--untranslated", str(made), at=tmp_path) == ""

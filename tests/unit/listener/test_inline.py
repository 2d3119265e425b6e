"""A listener inside the processes that serve requests; tests/servers/test_inline.py has the servers."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client

from django_flagsmith_realtime.listener import inline
from django_flagsmith_realtime.listener.background import BackgroundListener
from django_flagsmith_realtime.test import override_flags
from tests.support.cases import each_case
from tests.support.documents import KEY


def test_neither_the_default_nor_django_s_test_client_nor_a_server_under_test_starts_it(settings: Any) -> None:
    inline._start(sender=WSGIHandler)
    assert not inline._background.is_started
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": KEY, "LISTENER": "inline"}
    assert Client().get("/none/").status_code == 200
    assert not inline._background.is_started
    with override_flags():
        inline._start(sender=WSGIHandler)
    assert not inline._background.is_started


def test_whatever_keeps_it_from_starting_is_logged_once_and_no_request_fails(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": KEY, "LISTENER": "inline"}

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    inline._logged.clear()
    for _ in range(3):
        inline._start(sender=WSGIHandler)
    assert not inline._background.is_started
    assert [record.getMessage() for record in caplog.records] == [
        "Nobody listens to Flagsmith: RuntimeError: can't start new thread."
    ]


def test_a_later_request_says_that_the_thread_gets_no_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(BackgroundListener, "is_starved", True)
    inline._logged.clear()
    for _ in range(3):
        inline._start(sender=WSGIHandler)
    assert caplog.text.count("--enable-threads") == 1


@each_case(
    ("setting", "backend", "said"),
    [
        ({"ENVIRONMENT_KEY": KEY}, "dummy.DummyCache", "keeps nothing"),
        ({}, "locmem.LocMemCache", "FLAGSMITH['ENVIRONMENT_KEY'] is missing"),
    ],
)
def test_what_cannot_work_is_logged_once_and_requests_are_served(
    settings: Any, setting: dict[str, str], backend: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CACHES = {"default": {"BACKEND": f"django.core.cache.backends.{backend}"}}
    settings.FLAGSMITH = {"LISTENER": "inline", **setting}
    caplog.clear()
    inline._logged.clear()
    for _ in range(3):
        inline._start(sender=WSGIHandler)
    assert not inline._background.is_started
    assert caplog.text.count(said) == 1
    assert caplog.text.count("Nobody listens to Flagsmith") == 1

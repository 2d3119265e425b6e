"""Flags in Celery's tasks; tests/servers/test_celery.py has the workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.result import allow_join_result

import django_flagsmith_realtime.celery as celery_module
from django_flagsmith_realtime import get_flags
from tests.support.documents import publish


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery("eager", broker="memory://", set_as_current=False) as app:
        app.conf.task_always_eager = True
        yield app


def read() -> Any:
    return get_flags().get_feature_value("banner_text")


def test_a_task_that_replaces_itself_ends_its_scope_and_the_new_one_s(app: Celery) -> None:
    """canonical-ols/talisker#70: the new task runs inside the first one, under the same id."""
    reading = app.task(read, name="read")

    @app.task(bind=True)
    def replacing(self: Any) -> Any:
        with allow_join_result():  # else Celery refuses to wait within a task
            return self.replace(reading.si())

    publish(banner_text="one")
    assert replacing.delay().get() == "one"
    assert celery_module._entered == {}
    publish(banner_text="two")
    assert reading.delay().get() == "two"
    assert get_flags(identity=None).snapshot is not None
    assert read() == "two"

"""What a Celery app imports, and what other task queues import where there is no Celery."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.result import allow_join_result

import django_flagsmith_realtime.celery as celery_module
from django_flagsmith_realtime import get_flags
from tests.support.documents import publish
from tests.support.paths import ROOT


def python(program: str) -> str:
    """Return what a program prints in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


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


def test_what_a_project_imports_before_its_logging_is_configured_makes_no_loggers() -> None:
    """LOGGING with "disable_existing_loggers": True silences those that exist by then."""
    assert "django_flagsmith_realtime" not in python("""
import logging
from django_flagsmith_realtime import Identity
import django_flagsmith_realtime.celery, django_flagsmith_realtime.exceptions, django_flagsmith_realtime.identity
import django_flagsmith_realtime.pytest_plugin
print(*logging.root.manager.loggerDict)
""")


def test_task_queues_without_celery_import_the_tasks_of_each_app_and_refresh_is_a_function(tmp_path: Path) -> None:
    (tmp_path / "flags.json").write_text('{"flags": {"new_checkout": true}}')
    assert (
        python(f"""
import sys
sys.modules["celery"] = None  # as where it is not installed
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django_flagsmith_realtime"], FLAGSMITH={{"SNAPSHOT_FILE": "{tmp_path / "flags.json"}"}}
)
django.setup()
from django.utils.module_loading import autodiscover_modules
autodiscover_modules("tasks")  # as Huey, Procrastinate and others do
from django_flagsmith_realtime.tasks import refresh_flags
refresh_flags()
from django_flagsmith_realtime import get_flags
print(get_flags().is_feature_enabled("new_checkout"))
""")
        == "True\n"
    )

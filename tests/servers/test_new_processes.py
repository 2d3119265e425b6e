"""What a new process imports, and what it is told of its settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT


def python(program: str) -> str:
    """Return what a program prints in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


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


def test_a_project_need_only_install_the_app_to_be_told_of_its_faults() -> None:
    assert (
        python("""
import django
from django.conf import settings
from django.core.checks import run_checks
settings.configure(INSTALLED_APPS=["django_flagsmith_realtime"], FLAGSMITH={"NOPE": 1})
django.setup()
print([message.id for message in run_checks()])
""")
        == "['flagsmith.E003']\n"
    )

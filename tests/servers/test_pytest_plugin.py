"""A sample project's own suite, under pytest with xdist and under Django's runner, without a key or a cache."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PROJECT = ROOT / "tests/support/users_project"


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "DJANGO"))}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_suite_passes_under_pytest_on_two_workers() -> None:
    result = run("-m", "pytest", "-n", "2", "-q", "-p", "no:cacheprovider")
    assert re.search(r"^38 passed", result.stdout, re.MULTILINE), result.stdout + result.stderr


@pytest.mark.parametrize("options", [(), ("--parallel", "2")])
def test_the_suite_passes_under_djangos_runner(options: tuple[str, ...]) -> None:
    result = run("manage.py", "test", "django_tests", *options)
    assert re.search(r"^Ran 10 tests.*\n\nOK$", result.stderr, re.MULTILINE), result.stdout + result.stderr


def test_the_suite_would_notice_a_read_that_asks_the_cache() -> None:
    result = run("-m", "pytest", "-p", "no:flagsmith_realtime", "-p", "no:cacheprovider", "-k", "test_nothing_is_left")
    assert "assert [('127.0.0.1', 1)] == []" in result.stdout, result.stdout + result.stderr


def test_a_project_without_django_notices_nothing(tmp_path: Path) -> None:
    """The plugin is there wherever the package is installed."""
    (tmp_path / "test_it.py").write_text(
        "import sys\n\n"
        "def test_it(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.has_plugin('flagsmith_realtime')\n"
        "    assert not {'django.http', 'flagsmith', 'requests'} & set(sys.modules)\n"
    )
    others = [f"-pno:{plugin}" for plugin in ("asyncio", "cacheprovider", "django")]
    result = run("-m", "pytest", "-W", "error", *others, "--rootdir", str(tmp_path), str(tmp_path))
    assert "1 passed" in result.stdout, result.stdout + result.stderr

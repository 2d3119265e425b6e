"""The README's first lines, followed to the letter in a new project with the built wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from standin.server import StandIn

from tests.docs.pages import blocks
from tests.support.paths import ROOT
from tests.support.processes import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]

BEGIN, _, _ = (ROOT / "README.md").read_text().partition("\n## Try it")
PAGE = """
from django.template import engines
from django.http import HttpRequest
print(engines["django"].from_string({template!r}).render({{}}, HttpRequest()))
"""


def first(language: str) -> str:
    """Return the README's last code block of a language before the flags are tried without an account."""
    [*_, block] = [block for block in blocks(ROOT / "README.md", language) if block.code in BEGIN]
    return block.code


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Return the Python of a new environment that has the built wheel and what it depends on."""
    directory = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", directory / "venv", cwd=directory)
    python = directory / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[redis]", cwd=directory)
    return python


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(state_path=tmp_path / "flags.json") as standin:
        yield standin


def run(*command: object, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_flag_takes_ten_lines(
    python: Path, standin: StandIn, redis_server: RedisServer, tmp_path: Path
) -> None:
    run(python, "-m", "django", "startproject", "shop", tmp_path, cwd=tmp_path)
    settings, template, command = first("python"), first("django"), first("console")
    lines = [line for line in (settings + template).splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 11
    assert "redis://127.0.0.1:6379" in settings
    assert '"ser.…"' in settings
    settings = settings.replace("redis://127.0.0.1:6379", redis_server.url()).replace("ser.…", standin.server_key)
    with (tmp_path / "shop/settings.py").open("a") as file:
        file.write(settings)
        file.write(f"FLAGSMITH |= {{'API_URL': {standin.api_url!r}, 'REALTIME_URL': {standin.realtime_url!r}}}\n")
    assert "no issues" in run(python, "manage.py", "check", cwd=tmp_path)
    listen = command.replace("python manage.py", "manage.py").split()
    for enabled, shown in ((False, "The old checkout"), (True, "The new checkout")):
        standin.set_flag("new_checkout", enabled=enabled)
        run(python, *listen, "--once", cwd=tmp_path)
        assert shown in run(python, "manage.py", "shell", "-c", PAGE.format(template=template), cwd=tmp_path)

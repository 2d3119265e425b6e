"""docs/howto/without-enterprise.md, followed to the letter in new projects, whose whole deployment is gunicorn."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standin.deliveries import Delivery, QueueChange, Webhook
from standin.server import StandIn

from tests.docs.newcomer import Newcomer
from tests.docs.pages import blocks
from tests.support.paths import DOCS
from tests.support.processes import RedisServer, free_port, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]

PAGE = DOCS / "howto/without-enterprise.md"
FIRST_SETTINGS, QUEUE_CHANGE, POLLS = (block.code for block in blocks(PAGE, "python") if "settings.py" in block.code)
[URLS] = (block.code for block in blocks(PAGE, "python") if "urls.py" in block.code)
MAKE_SECRET, STATUS = (block.code.strip() for block in blocks(PAGE, "console"))
[VARIABLES] = (block.code for block in blocks(PAGE, "shell"))
URL = re.search(r"`https://your\.site(\S+/)`", PAGE.read_text())


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Return a directory with a virtual environment for all projects."""
    directory = tmp_path_factory.mktemp("environment")
    with StandIn(state_path=directory / "state.json") as standin:
        newcomer = Newcomer(directory, wheel, {}, standin)
        newcomer.call("python3 -m venv .venv", check=True)
        newcomer.call("pip install --quiet 'django-flagsmith-realtime[redis]' gunicorn", check=True)
    return directory / ".venv"


@pytest.fixture
def newcomer(tmp_path: Path, wheel: Path, environment: Path, redis_server: RedisServer) -> Iterator[Newcomer]:
    with StandIn(state_path=tmp_path / "state.json") as standin:
        replaced = {
            "redis://127.0.0.1:6379": redis_server.url(),
            "https://flagsmith.example.com/api/v1/": standin.api_url,
        }
        (directory := tmp_path / "site").mkdir()
        newcomer = Newcomer(directory, wheel, replaced, standin)
        (directory / ".venv").symlink_to(environment)
        newcomer.call("django-admin startproject shop .", check=True)
        yield newcomer
        newcomer.end()


def webhook(site: str, secret: str) -> Delivery:
    assert URL, "the page names the URL to enter in Flagsmith"
    return Webhook(f"{site}{URL[1]}", secret)


def queue_change(site: str, token: str) -> Delivery:
    entered = dict(line.split("=") for line in VARIABLES.splitlines())
    assert entered["SSE_AUTHENTICATION_TOKEN"] == "the same token"
    return QueueChange(entered["SSE_SERVER_BASE_URL"].replace("https://your.site", site), token)


WAYS: dict[str, tuple[str, Callable[[str, str], Delivery] | None]] = {
    "webhook": (FIRST_SETTINGS, webhook),
    "queue-change": (QUEUE_CHANGE, queue_change),
    "poll": (POLLS, None),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_works_as_the_page_says(newcomer: Newcomer, way: str) -> None:
    settings, deliver = WAYS[way]
    secret, port = newcomer.call(MAKE_SECRET, check=True), free_port()
    newcomer.environment |= {
        "FLAGSMITH_ENVIRONMENT_KEY": newcomer.standin.server_key,
        "FLAGSMITH_WEBHOOK_SECRET": secret,
        "FLAGSMITH_REALTIME_TOKEN": secret,
    }
    newcomer.add("shop/settings.py", FIRST_SETTINGS)
    if settings != FIRST_SETTINGS:
        newcomer.add("shop/settings.py", settings)
    newcomer.add("shop/urls.py", URLS)
    found = "flagsmith.I001" if way == "poll" else "no issues"
    assert found in newcomer.call("python manage.py check", check=True)

    site = f"http://127.0.0.1:{port}"
    newcomer.serve(f"gunicorn shop.wsgi --bind 127.0.0.1:{port} --workers 2")
    if deliver:
        newcomer.standin.deliveries.append(deliver(site, secret))
    wait_until(lambda: answers(f"{site}/flagsmith/health/"), "a healthy site")
    newcomer.standin.set_flag("new_checkout", enabled=True)
    command, _, told = STATUS.removeprefix("$ ").partition("\n")
    assert "by webhook" in told
    told = told.replace("by webhook", f"by {way}")
    newcomer.expect(command, told if deliver else told.replace(", stored after … ms", ""))
    if deliver:
        assert newcomer.standin.counts.environment_document == 2, "one at the start, and one for the change"
    assert newcomer.standin.counts.stream == 0


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status) == 200
    except OSError:
        return False

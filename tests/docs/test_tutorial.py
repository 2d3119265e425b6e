"""docs/tutorial/tutorial.md, followed to the letter from an empty folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from standin.server import StandIn

from tests.docs.newcomer import Newcomer
from tests.docs.pages import blocks
from tests.support.paths import DOCS
from tests.support.processes import RedisServer, free_port

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


@pytest.fixture
def newcomer(tmp_path: Path, wheel: Path, redis_server: RedisServer) -> Iterator[Newcomer]:
    directory, port = tmp_path / "shop", str(free_port())
    directory.mkdir()
    with StandIn(state_path=tmp_path / "state.json") as standin:
        replaced = {
            "manage.py runserver": f"manage.py runserver {port}",
            "127.0.0.1:8000": f"127.0.0.1:{port}",
            "redis://127.0.0.1:6379": redis_server.url(),
            '"ENVIRONMENT_KEY": "ser.…"': f'"ENVIRONMENT_KEY": {standin.server_key!r}, '
            f'"API_URL": {standin.api_url!r}, "REALTIME_URL": {standin.realtime_url!r}',
        }
        newcomer = Newcomer(directory, wheel, replaced, standin)
        yield newcomer
        newcomer.end()


def test_each_block_of_the_tutorial_does_what_it_says(newcomer: Newcomer) -> None:
    followed = blocks(DOCS / "tutorial/tutorial.md")
    assert {told for told in newcomer.replaced if not any(told in block.code for block in followed)} == set()
    for block in followed:
        newcomer.follow(block)

"""What the commands write to a terminal whose encoding lacks letters."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from typing import Any

import pytest
from django.core.cache import caches
from django.core.management import call_command

from django_flagsmith_realtime.management.commands.flagsmith_listen import Command
from django_flagsmith_realtime.management.output import Output
from django_flagsmith_realtime.storage.status import Content
from tests.support.backends import use
from tests.support.documents import PREFIX, configured_store, publish
from tests.unit.storage.test_status import FULL

NAME = "Prödüktion 🚀 \x1b[31m"


@contextmanager
def terminal(encoding: str) -> Iterator[TextIOWrapper]:
    """A terminal that is told to write; `written` reads it."""
    with TextIOWrapper(BytesIO(), encoding=encoding) as terminal:
        yield terminal


def written(terminal: TextIOWrapper) -> str:
    terminal.seek(0)
    return terminal.read()


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("ascii", r"Pr\xf6d\xfcktion \U0001f680"), ("cp1252", r"Prödüktion \U0001f680"), ("utf-8", "Prödüktion 🚀")],
)
def test_letters_that_a_terminal_lacks_are_escapes(settings: Any, encoding: str, name: str) -> None:
    use(settings, "tests.support.backends.SharedCache")
    snapshot = publish(banner_text=NAME)
    status = replace(FULL, written_at=time.time(), content=Content(snapshot.version, 22, NAME, time.time()))
    configured_store().write_status(status)
    caches["default"].set(f"{PREFIX}:lease", "web-1:42:token")
    for command in (["flagsmith_status"], ["flagsmith_flags", "banner_text"]):
        with terminal(encoding) as output:
            call_command(*command, stdout=output)
            assert f"{name} \\x1b[31m" in written(output)


def test_the_listener_s_log_writes_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("django_flagsmith_realtime")
    monkeypatch.setattr(logger, "hasHandlers", lambda: False)
    monkeypatch.setattr(logger, "handlers", [])
    with terminal("ascii") as output:
        command = Command()
        command.stdout = Output(output)
        command._log_to_terminal(logging.INFO)
        logger.warning("Updated to version %s: %s", "1", "größer")
        assert r"gr\xf6\xdfer" in written(output)

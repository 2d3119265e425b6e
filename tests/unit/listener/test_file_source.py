"""The file that a developer edits in place of an account."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.listener import sources
from django_flagsmith_realtime.listener.factory import build_listener, build_publisher
from django_flagsmith_realtime.listener.sources import FileSource
from django_flagsmith_realtime.reading.reader import get_reader
from django_flagsmith_realtime.signals import flag_changed
from django_flagsmith_realtime.storage.snapshot_file import write_snapshot_file
from tests.support.documents import banner, configured_store
from tests.support.listening import listening
from tests.support.processes import wait_until
from tests.unit.storage.test_snapshot_file import snapshot_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flags.json"


def edit(path: Path, **flags: Any) -> None:
    """Change the file as an editor does that writes in place."""
    body = json.loads(path.read_text())
    for state in body["feature_states"]:
        if (name := state["feature"]["name"]) in flags:
            state["feature_state_value"] = flags[name]
    path.write_text(json.dumps(body))


class TestFileSource:
    def test_each_new_content_is_as_of_when_it_was_read(self, path: Path) -> None:
        write_snapshot_file(path, snapshot_of(banner_text="one"))
        source = FileSource(path)
        first = source.fetch()
        assert source.fetch() is first
        assert first.updated_at > snapshot_of().head.updated_at
        edit(path, banner_text="two")
        assert source.fetch().environment.flags["banner_text"].value == "two"
        assert source.fetch().updated_at > first.updated_at

    def test_an_edit_that_keeps_size_and_time_is_seen(self, path: Path) -> None:
        write_snapshot_file(path, snapshot_of(banner_text="one"))
        edit(path, banner_text="one")
        before = path.stat()
        source = FileSource(path)
        source.fetch()
        edit(path, banner_text="two")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        assert source.fetch().environment.flags["banner_text"].value == "two"


Watching = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def watched(path: Path) -> Path:
    write_snapshot_file(path, snapshot_of(banner_text="one"))
    return path


@pytest.fixture
def watching(watched: Path) -> Watching:
    """Run the listener of a project without an account."""

    @contextmanager
    def watch() -> Iterator[None]:
        with listening(SNAPSHOT_FILE=str(watched), FRESHNESS=0):
            wait_until(lambda: banner(get_reader().current()) == "one" and get_reader().current().sequence)
            yield

    return watch


def is_shown(text: str) -> Callable[[], bool]:
    return lambda: banner(get_reader().current()) == text


@pytest.mark.usefixtures("quick")
class TestWatching:
    def test_an_edit_is_live_with_its_signals_and_stays_as_it_was_written(
        self, watched: Path, watching: Watching
    ) -> None:
        seen: list[Any] = []

        def note(*, name: str, new: Any, **kwargs: Any) -> None:
            seen.append((name, new.value))

        flag_changed.connect(note)
        with watching():
            edit(watched, banner_text="two")
            content = watched.read_bytes()
            wait_until(is_shown("two"), timeout=3)
            wait_until(lambda: seen)
        flag_changed.disconnect(note)
        assert watched.read_bytes() == content
        assert seen == [("banner_text", "two")]

    def test_a_file_that_is_moved_into_place_is_live_and_so_is_one_without_any_flag(
        self, watched: Path, watching: Watching
    ) -> None:
        with watching():
            write_snapshot_file(watched, snapshot_of(banner_text="two"))
            wait_until(is_shown("two"), timeout=3)
            body = json.loads(watched.read_text())
            watched.write_text(json.dumps({**body, "feature_states": [], "identity_overrides": []}))
            wait_until(lambda: not get_reader().current().environment.flags, timeout=3)

    @pytest.mark.slow
    def test_an_older_file_that_is_put_back_is_live(self, watched: Path, watching: Watching) -> None:
        older = watched.read_bytes()
        with watching():
            edit(watched, banner_text="two")
            wait_until(is_shown("two"), timeout=3)
            restored = watched.with_suffix(".older")
            restored.write_bytes(older)
            os.utime(restored, (1, 1))
            restored.replace(watched)
            wait_until(is_shown("one"), timeout=3)

    @pytest.mark.slow
    @pytest.mark.parametrize("broken", [b"", b'{"cut', b"{}", None], ids=["empty", "cut", "no document", "removed"])
    def test_the_flags_stay_while_the_file_is_broken_and_a_mended_one_is_live(
        self, watched: Path, watching: Watching, broken: bytes | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        good = watched.read_bytes()
        with watching():
            if broken is None:
                watched.unlink()
            else:
                watched.write_bytes(broken)
            wait_until(lambda: "trying again" in caplog.text)
            assert is_shown("one")()
            watched.write_bytes(good)
            edit(watched, banner_text="mended")
            wait_until(is_shown("mended"))
        warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 1

    def test_a_file_that_was_broken_for_long_is_read_as_often_as_one_that_is_not(self, watched: Path) -> None:
        with override_settings(FLAGSMITH={"SNAPSHOT_FILE": str(watched)}):
            schedule = build_listener(get_config())._schedule
        now = time.monotonic()
        for _ in range(20):
            schedule.begin_fetch(now)
            schedule.fail(now)
            assert schedule.due() - now <= 0.5
            now = schedule.due()

    @pytest.mark.slow
    def test_the_clock_may_go_back(self, watched: Path, watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
        class Clock:
            time_ns = staticmethod(lambda: time.time_ns() - 3_600 * 10**9)

        with watching():
            edit(watched, banner_text="two")
            wait_until(is_shown("two"), timeout=3)
            monkeypatch.setattr(sources, "time", Clock)
            edit(watched, banner_text="three")
            wait_until(is_shown("three"), timeout=3)


def test_refreshing_from_a_file_sends_no_request(watched: Path) -> None:
    with override_settings(FLAGSMITH={"SNAPSHOT_FILE": str(watched), "FRESHNESS": 0}):
        publisher = build_publisher(get_config())
        assert publisher.refresh()
        assert publisher.refresh() is None
        assert banner(get_reader().current()) == "one"
        publisher.close()
    assert configured_store().read_head() is None, "without a key it is an environment of its own"

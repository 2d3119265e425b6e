"""The last known good document in a file, and the file that a developer edits in place of an account."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.environment.snapshot import Head, Snapshot
from django_flagsmith_realtime.listener import factory as build
from django_flagsmith_realtime.listener.factory import build_listener, build_publisher
from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.reading.reader import get_reader
from django_flagsmith_realtime.signals import flag_changed
from django_flagsmith_realtime.storage import snapshot_file
from django_flagsmith_realtime.storage.snapshot_file import (
    EXAMPLE,
    FileSource,
    SnapshotFileError,
    load_snapshot,
    read_snapshot_file,
    write_snapshot_file,
)
from tests.support.documents import KEY, RECORDED, banner, configured_store, make_document, publish
from tests.support.processes import die_with_parent, wait_until

ROOT = Path(__file__).parents[3]
WRITE_FOR_EVER = """
import sys
from pathlib import Path
import django; django.setup()
from tests.support.documents import make_document
from django_flagsmith_realtime.environment.snapshot import Head, Snapshot
from django_flagsmith_realtime.storage.snapshot_file import write_snapshot_file
snapshots = [Snapshot(Head(1, "", 0, 0), make_document(banner_text=text * 50_000).environment) for text in "ab"]
while True:
    for snapshot in snapshots:
        write_snapshot_file(Path(sys.argv[1]), snapshot)
        print("written", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "flags"
    directory.mkdir(mode=0o700)
    return directory / "flags.json"


def snapshot_of(**flags: Any) -> Snapshot:
    document = make_document(**flags)
    return Snapshot(Head(7, document.environment.version, document.updated_at, 0), document.environment)


def edit(path: Path, **flags: Any) -> None:
    """Change the file as an editor does that writes in place."""
    body = json.loads(path.read_text())
    for state in body["feature_states"]:
        if (name := state["feature"]["name"]) in flags:
            state["feature_state_value"] = flags[name]
    path.write_text(json.dumps(body))


class TestWriting:
    def test_what_is_written_is_read_back_equal(self, path: Path) -> None:
        written = snapshot_of(banner_text="Grüße 🚀", new_checkout=True)
        write_snapshot_file(path, written)
        read = read_snapshot_file(path)
        assert read.environment.version == written.version
        assert read.updated_at == written.head.updated_at
        assert load_snapshot(path).sequence < written.sequence, "whatever is in the cache is newer"

    @pytest.mark.parametrize(("directory_mode", "mode"), [(0o700, 0o600), (0o770, 0o640), (0o2750, 0o640)])
    def test_the_group_may_read_it_where_the_directory_is_shared_with_it(
        self, path: Path, directory_mode: int, mode: int
    ) -> None:
        path.parent.chmod(directory_mode)
        umask = os.umask(0)
        try:
            write_snapshot_file(path, snapshot_of())
        finally:
            os.umask(umask)
        assert path.stat().st_mode & 0o777 == mode

    def test_it_replaces_the_file_and_leaves_nothing_beside_it(self, path: Path) -> None:
        for text in ("one", "two"):
            write_snapshot_file(path, snapshot_of(banner_text=text))
        assert banner(load_snapshot(path)) == "two"
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    def test_a_directory_that_cannot_be_written_is_an_error_that_says_what_to_do(self, tmp_path: Path) -> None:
        no_directory = tmp_path / "file"
        no_directory.touch()
        with pytest.raises(SnapshotFileError, match=r"SNAPSHOT_FILE.*can't be written.*Make its directory writable"):
            write_snapshot_file(no_directory / "flags.json", snapshot_of())

    def test_a_file_that_fails_half_way_leaves_the_old_one(self, path: Path) -> None:
        write_snapshot_file(path, snapshot_of(banner_text="old"))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
        try:
            with pytest.raises(SnapshotFileError, match="File too large"):
                write_snapshot_file(path, snapshot_of(banner_text="new"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert banner(load_snapshot(path)) == "old"
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    def test_half_a_character_is_kept_as_it_is(self, path: Path) -> None:
        write_snapshot_file(path, snapshot_of(banner_text="half \ud83d"))
        assert banner(load_snapshot(path)) == "half \ud83d"

    @pytest.mark.slow
    def test_a_writer_that_is_killed_never_leaves_half_a_file(self, path: Path) -> None:
        for _ in range(3):
            writer = subprocess.Popen(
                [*die_with_parent(), sys.executable, "-c", WRITE_FOR_EVER, str(path)],
                cwd=ROOT,
                env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
                stdout=subprocess.PIPE,
            )
            assert writer.stdout and writer.stdout.readline()
            texts = {str(banner(load_snapshot(path))) for _ in range(50)}
            writer.send_signal(signal.SIGKILL)
            writer.wait(10)
            writer.stdout.close()
            texts.add(str(banner(load_snapshot(path))))
            assert texts <= {"a" * 50_000, "b" * 50_000}


class TestReading:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is no JSON"),
            (b'{"api_key": ', "is no JSON"),
            (b"\xff\xfe", "is no JSON"),
            (b"[" * 100_000, "is no JSON"),
            (b"[]", "is no environment document"),
            (b"{}", "is no environment document"),
            (json.dumps({**RECORDED, "feature_states": [1]}).encode(), "is no environment document"),
        ],
        ids=["empty", "cut", "no text", "deep", "list", "nothing in it", "broken flag"],
    )
    def test_what_is_no_document_is_an_error_that_names_the_file(self, path: Path, content: bytes, said: str) -> None:
        path.write_bytes(content)
        with pytest.raises(SnapshotFileError, match=rf"FLAGSMITH\['SNAPSHOT_FILE'\] {said}: {path}: .*\.$"):
            load_snapshot(path)

    def test_a_person_may_write_flags_in_the_forms_of_defaults(self, path: Path) -> None:
        path.write_text(
            '{"flags": {"on": true, "off": false, "text": "a", "five": 5, "both": {"enabled": false, "value": 1}}}'
        )
        environment = load_snapshot(path).environment
        assert {name: (flag.enabled, flag.value) for name, flag in environment.flags.items()} == {
            "on": (True, None),
            "off": (False, None),
            "text": (True, "a"),
            "five": (True, 5),
            "both": (False, 1),
        }
        assert environment.name == path.name

    @pytest.mark.parametrize("flags", ["[]", "7", '{"a": []}', '{"a": {"on": true}}'])
    def test_a_form_that_is_none_is_an_error_that_says_what_is(self, path: Path, flags: str) -> None:
        path.write_text(f'{{"flags": {flags}}}')
        with pytest.raises(SnapshotFileError, match="flags is not a dict of flag names to a bool, a value"):
            load_snapshot(path)

    def test_the_example_in_our_errors_is_right(self, path: Path) -> None:
        path.write_text(EXAMPLE)
        assert set(load_snapshot(path).environment.flags) == {"new_checkout", "banner"}

    def test_a_file_that_is_not_there_is_an_error_that_names_it(self, path: Path) -> None:
        with pytest.raises(SnapshotFileError, match=rf"is not there: {path}. .*{{\"flags\":"):
            load_snapshot(path)

    def test_a_process_that_finds_an_empty_cache_begins_with_the_file(self, path: Path) -> None:
        write_snapshot_file(path, snapshot_of(banner_text="of the file"))
        with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": KEY, "SNAPSHOT_FILE": str(path)}):
            assert banner(get_reader().current()) == "of the file"
            publish(banner_text="of the cache")
            assert banner(get_reader().current()) == "of the cache"

    def test_what_the_cache_holds_goes_before_the_file(self, path: Path) -> None:
        write_snapshot_file(path, snapshot_of(banner_text="of the file"))
        publish(banner_text="of the cache")
        with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": KEY, "SNAPSHOT_FILE": str(path)}):
            assert banner(get_reader().current()) == "of the cache"

    def test_a_file_that_cannot_be_read_is_said_once_and_tried_once_a_second(
        self, path: Path, clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        path.write_text("{")
        with override_settings(
            FLAGSMITH={"ENVIRONMENT_KEY": KEY, "SNAPSHOT_FILE": str(path), "DEFAULTS": {"banner_text": "default"}}
        ):
            reader = get_reader()
            assert reader.current() is None
            assert get_flags().get_feature_value("banner_text") == "default"
            write_snapshot_file(path, snapshot_of(banner_text="mended"))
            assert reader.current() is None
            clock(1.1)
            assert banner(reader.current()) == "mended"
        assert caplog.text.count("is no JSON") == 1


class TestKeeping:
    def test_each_version_is_written_once(self, path: Path) -> None:
        with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": KEY, "SNAPSHOT_FILE": str(path)}):
            publisher = build_publisher(get_config())
            publisher.publish(make_document(banner_text="one"))
            publisher.save()
            assert banner(load_snapshot(path)) == "one"
            path.unlink()
            publisher.save()
            assert not path.exists()
            publisher.publish(make_document(banner_text="two"))
            publisher.save()
            assert banner(load_snapshot(path)) == "two"
            publisher.close()

    def test_no_temporary_file_and_no_key_is_left_in_it(self, path: Path) -> None:
        write_snapshot_file(path, snapshot_of())
        assert "ser." not in path.read_text()
        assert "identity_traits" not in path.read_text()


class TestFileSource:
    """The file as the source: no account, no request."""

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
        with override_settings(FLAGSMITH={"SNAPSHOT_FILE": str(watched)}):
            listener = build_listener(get_config())
            thread = threading.Thread(target=listener.run)
            thread.start()
            try:
                wait_until(lambda: banner(get_reader().current()) == "one" and get_reader().current().sequence)
                yield
            finally:
                listener.stop()
                thread.join(5)

    return watch


def is_shown(text: str) -> Callable[[], bool]:
    return lambda: banner(get_reader().current()) == text


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the file more often than a person can edit it."""
    monkeypatch.setattr(build, "FILE_SECONDS", 0.02)


@pytest.mark.usefixtures("quick")
class TestWatching:
    def test_an_edit_is_live_with_its_signals(self, watched: Path, watching: Watching) -> None:
        seen: list[Any] = []

        def note(*, name: str, new: Any, **kwargs: Any) -> None:
            seen.append((name, new.value))

        flag_changed.connect(note)
        with watching():
            edit(watched, banner_text="two")
            wait_until(is_shown("two"), timeout=3)
        flag_changed.disconnect(note)
        assert seen == [("banner_text", "two")]

    def test_a_file_that_is_moved_into_place_is_live(self, watched: Path, watching: Watching) -> None:
        with watching():
            write_snapshot_file(watched, snapshot_of(banner_text="two"))
            wait_until(is_shown("two"), timeout=3)

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

    def test_a_file_that_was_broken_for_long_is_looked_at_as_often_as_one_that_is_not(self, watched: Path) -> None:
        with override_settings(FLAGSMITH={"SNAPSHOT_FILE": str(watched)}):
            schedule = build_listener(get_config())._schedule
        now = time.monotonic()
        for _ in range(20):
            schedule.begin(now)
            schedule.fail(now)
            assert schedule.due() - now <= 0.5
            now = schedule.due()

    def test_a_file_without_any_flag_is_believed_at_once(self, watched: Path, watching: Watching) -> None:
        with watching():
            body = json.loads(watched.read_text())
            watched.write_text(json.dumps({**body, "feature_states": [], "identity_overrides": []}))
            wait_until(lambda: not get_reader().current().environment.flags, timeout=3)

    @pytest.mark.slow
    def test_the_clock_may_go_back(self, watched: Path, watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
        class Clock:
            time_ns = staticmethod(lambda: time.time_ns() - 3_600 * 10**9)

        with watching():
            edit(watched, banner_text="two")
            wait_until(is_shown("two"), timeout=3)
            monkeypatch.setattr(snapshot_file, "time", Clock)
            edit(watched, banner_text="three")
            wait_until(is_shown("three"), timeout=3)

    def test_it_writes_nothing_into_the_file_that_is_edited(self, watched: Path, watching: Watching) -> None:
        with watching():
            edit(watched, banner_text="two")
            content = watched.read_bytes()
            wait_until(is_shown("two"), timeout=3)
        assert watched.read_bytes() == content


def test_refreshing_from_a_file_sends_no_request(watched: Path) -> None:
    with override_settings(FLAGSMITH={"SNAPSHOT_FILE": str(watched)}):
        publisher = build_publisher(get_config())
        assert publisher.refresh()
        assert isinstance(publisher, Publisher)
        assert publisher.refresh() is None
        assert banner(get_reader().current()) == "one"
        publisher.close()
    assert configured_store().read_head() is None, "without a key it is an environment of its own"

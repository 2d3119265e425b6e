"""The last known good document in a file."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import override_settings

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.environment.snapshot import Head, Snapshot
from django_flagsmith_realtime.exceptions import Overtaken, SnapshotFileError
from django_flagsmith_realtime.listener.factory import build_publisher
from django_flagsmith_realtime.listener.publisher import Publisher
from django_flagsmith_realtime.reading.reader import drop_readers, get_reader
from django_flagsmith_realtime.reading.rendering import client_state
from django_flagsmith_realtime.storage.snapshot_file import (
    EXAMPLE,
    load_snapshot,
    read_snapshot_file,
    write_snapshot_file,
)
from tests.support import recordings
from tests.support.cases import each_case
from tests.support.documents import HEAD, KEY, RECORDED, banner, make_document, publish
from tests.support.paths import ROOT
from tests.support.processes import die_with_parent

WRITE_FOR_EVER = """
import sys
from pathlib import Path
import django; django.setup()
from tests.support.documents import make_document
from django_flagsmith_realtime.environment.snapshot import Head, Snapshot
from django_flagsmith_realtime.storage.snapshot_file import write_snapshot_file
snapshots = [Snapshot(Head(1, "", 0, 0, 0), make_document(banner_text=text * 50_000).environment) for text in "ab"]
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
    return Snapshot(Head(7, document.environment.version, document.updated_at, 0, 0), document.environment)


class TestWriting:
    def test_what_is_written_is_read_back_equal(self, path: Path) -> None:
        written = snapshot_of(banner_text="Grüße 🚀, half \ud83d", new_checkout=True)
        write_snapshot_file(path, written)
        read = read_snapshot_file(path)
        assert read.environment.version == written.version
        assert read.environment.flags == written.environment.flags
        assert read.updated_at == written.head.updated_at
        assert load_snapshot(path).sequence < written.sequence, "whatever is in the cache is newer"

    @each_case(("directory_mode", "mode"), [(0o700, 0o600), (0o770, 0o640), (0o2750, 0o640)])
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

    def test_no_function_that_windows_lacks_is_needed(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("fchmod", "fchown", "geteuid", "getuid"):
            monkeypatch.delattr(os, name)
        write_snapshot_file(path, snapshot_of(banner_text="one"))
        assert banner(load_snapshot(path)) == "one"

    def test_it_replaces_the_file_and_leaves_nothing_beside_it_and_no_key_in_it(self, path: Path) -> None:
        for text in ("one", "two"):
            write_snapshot_file(path, snapshot_of(banner_text=text))
        assert banner(load_snapshot(path)) == "two"
        assert [file.name for file in path.parent.iterdir()] == [path.name]
        assert "ser." not in path.read_text()
        assert "identity_traits" not in path.read_text()

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
    @each_case(
        ("content", "said"),
        [
            (b"", "isn't JSON"),
            (b'{"api_key": ', "isn't JSON"),
            (b"\xff\xfe", "isn't JSON"),
            (b"[" * 100_000, "isn't JSON"),
            (b"[]", "isn't an environment document"),
            (b"{}", "isn't an environment document"),
            (json.dumps({**RECORDED, "feature_states": [1]}).encode(), "isn't an environment document"),
        ],
    )
    def test_anything_but_a_document_is_an_error_that_names_the_file(
        self, path: Path, content: bytes, said: str
    ) -> None:
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

    def test_a_document_stays_one_whatever_else_it_holds(self, path: Path) -> None:
        path.write_text(json.dumps({**RECORDED, "flags": {"on": True}}))
        assert load_snapshot(path).environment.flags.keys() == {
            state["feature"]["name"] for state in RECORDED["feature_states"]
        }

    @each_case("flags", ["[]", "7", '{"a": []}', '{"a": {"on": true}}'])
    def test_a_wrong_form_of_a_flag_is_an_error_that_names_the_right_ones(self, path: Path, flags: str) -> None:
        path.write_text(f'{{"flags": {flags}}}')
        with pytest.raises(SnapshotFileError, match="flags isn't a dict of flag names to a bool, a value"):
            load_snapshot(path)

    @each_case(
        "body",
        [
            # flags_json, Flagsmith's CLI
            {"flags": {"a": {"id": 1, "enabled": True, "value": "v"}}},
            # Flagsmith's JavaScript client
            {"flags": {"a": {"id": 1, "enabled": True, "value": "v", "variant": None}}, "identity": None},
            # flagsmith_flags --json
            {"a": {"enabled": True, "value": "v", "variant": None, "reason": "DEFAULT"}},
            # GET flags/
            [{"id": 7, "feature": {"id": 1, "name": "a"}, "feature_state_value": "v", "enabled": True}],
            # GET identities/
            {
                "identifier": "42",
                "traits": [],
                "flags": [{"feature": {"id": 1, "name": "a"}, "feature_state_value": "v", "enabled": True}],
            },
        ],
    )
    def test_what_people_have_at_hand_is_accepted(self, path: Path, body: object) -> None:
        path.write_text(json.dumps(body))
        environment = load_snapshot(path).environment
        assert {name: (flag.enabled, flag.value) for name, flag in environment.flags.items()} == {"a": (True, "v")}
        assert environment.name == path.name

    def test_the_recorded_answer_of_the_flags_endpoint_is_accepted(self, path: Path) -> None:
        body = recordings.exchange("flags_get").body
        path.write_bytes(body)
        flags = load_snapshot(path).environment.flags
        assert {name: (flag.enabled, flag.value) for name, flag in flags.items()} == {
            state["feature"]["name"]: (state["enabled"], state["feature_state_value"]) for state in json.loads(body)
        }

    def test_what_the_command_and_the_tag_write_is_read_back(self, path: Path) -> None:
        publish(banner_text="Sale", new_checkout=True)
        with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": KEY}):
            written = StringIO()
            call_command("flagsmith_flags", "--json", stdout=written)
            states = [json.loads(written.getvalue()), client_state(get_flags(), ["banner_text", "new_checkout"])]
        for state in states:
            path.write_text(json.dumps(state))
            flags = load_snapshot(path).environment.flags
            assert flags["banner_text"].value == "Sale"
            assert flags["new_checkout"].enabled

    def test_a_file_that_is_not_there_is_an_error_that_names_it_with_an_example_that_is_right(self, path: Path) -> None:
        with pytest.raises(SnapshotFileError, match=rf"doesn't exist: {path}. .*{{\"flags\":"):
            load_snapshot(path)
        path.write_text(EXAMPLE)
        assert set(load_snapshot(path).environment.flags) == {"new_checkout", "banner"}

    def test_a_process_begins_with_the_file_where_the_cache_is_empty_and_only_there(self, path: Path) -> None:
        write_snapshot_file(path, snapshot_of(banner_text="of the file"))
        with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": KEY, "SNAPSHOT_FILE": str(path)}):
            assert banner(get_reader().current()) == "of the file"
            publish(banner_text="of the cache")
            assert banner(get_reader().current()) == "of the cache"
            drop_readers()
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
        assert caplog.text.count("isn't JSON") == 1

    def test_a_file_is_read_although_the_clock_was_put_back_since_the_last_time(
        self, path: Path, clock: Callable[[float], None]
    ) -> None:
        path.write_text("{")
        with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": KEY, "SNAPSHOT_FILE": str(path)}):
            clock(1e9)  # as in a test that freezes it
            assert get_reader().current() is None
            clock(-1e9)
            write_snapshot_file(path, snapshot_of(banner_text="mended"))
            assert banner(get_reader().current()) == "mended"


class TestKeeping:
    @pytest.fixture
    def publisher(self, path: Path) -> Iterator[Publisher]:
        with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": KEY, "SNAPSHOT_FILE": str(path)}):
            publisher = build_publisher(get_config())
            yield publisher
            publisher.close()

    def test_each_version_is_written_once(self, path: Path, publisher: Publisher) -> None:
        for text in ("one", "two"):
            publisher.publish(make_document(banner_text=text))
            publisher.save()
            assert banner(load_snapshot(path)) == text
            before = path.stat().st_ino
            publisher.save()
            publisher.repair()
            assert path.stat().st_ino == before

    def test_a_file_that_is_removed_is_written_again(self, path: Path, publisher: Publisher) -> None:
        publisher.publish(make_document(banner_text="one"))
        publisher.save()
        path.unlink()
        publisher.repair()
        assert banner(load_snapshot(path)) == "one"

    def test_what_a_leader_writes_that_was_frozen_meanwhile_is_replaced(self, path: Path, publisher: Publisher) -> None:
        frozen = build_publisher(get_config())
        frozen.publish(make_document(banner_text="old"))
        old = frozen.published
        assert old
        publisher.resume()
        publisher.publish(make_document(banner_text="new"))
        publisher.save()

        publisher.store.cache.connection.set(HEAD, list(old.head))  # it wakes before it has written the head
        frozen.save()
        assert banner(load_snapshot(path)) == "old"
        with pytest.raises(Overtaken, match="Something else had taken the place"):
            publisher.repair()
        assert banner(load_snapshot(path)) == "new"

        write_snapshot_file(path, old)  # it wakes after that
        publisher.repair()
        assert banner(load_snapshot(path)) == "new"
        frozen.close()

    def test_a_file_that_cannot_be_written_is_said_once_for_each_version(
        self, path: Path, publisher: Publisher, caplog: pytest.LogCaptureFixture
    ) -> None:
        path.parent.rmdir()
        for text in ("one", "two"):
            publisher.publish(make_document(banner_text=text))
            publisher.save()
            publisher.repair()
        assert caplog.text.count("can't be written") == 2

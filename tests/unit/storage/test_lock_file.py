"""The file by which the processes of a machine see that the holder of the lease has ended: a real process is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.cache import caches

from django_flagsmith_realtime.storage.cache import cache_key
from django_flagsmith_realtime.storage.lease import Lease
from django_flagsmith_realtime.storage.lock_file import LockFile, is_abandoned
from tests.support.processes import die_with_parent

TOKEN = "web-1:0:0123456789abcdef"
HOLDER = """
import sys
from django_flagsmith_realtime.storage.lock_file import LockFile
lock_file = LockFile(sys.argv[1])
lock_file.lock()
print("locked", flush=True)
sys.stdin.readline()
lock_file.remove()
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """Another process that has locked the file of the token."""
    command = [*die_with_parent(), sys.executable, "-c", HOLDER, TOKEN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(10)


def test_of_many_that_find_its_process_killed_and_not_before_one_learns_it(
    holder: subprocess.Popen[str], directory: Path
) -> None:
    assert not is_abandoned(TOKEN)
    end(holder)
    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(is_abandoned, [TOKEN] * 4)) == 1
    assert list(directory.iterdir()) == []


def test_a_process_that_removed_it_has_not_abandoned_it(holder: subprocess.Popen[str], directory: Path) -> None:
    holder.communicate("\n")
    assert not is_abandoned(TOKEN)
    assert list(directory.iterdir()) == []


def test_a_process_on_another_machine_may_run(directory: Path) -> None:
    assert not is_abandoned(TOKEN)
    assert not is_abandoned("what is no token")


def test_a_process_does_not_take_itself_for_ended(directory: Path) -> None:
    token = f"web-1:{os.getpid()}:0123456789abcdef"
    lock_file = LockFile(token)
    lock_file.lock()
    assert not is_abandoned(token)
    assert len(list(directory.iterdir())) == 1
    lock_file.remove()


def test_a_child_that_is_forked_does_not_keep_it_locked(directory: Path) -> None:
    program = HOLDER.replace(
        "sys.stdin.readline()", "import os, signal; os.fork() or signal.pause(); os.kill(os.getpid(), 9)"
    )
    command = [*die_with_parent(), sys.executable, "-c", program, TOKEN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.wait(10) == -9
        assert is_abandoned(TOKEN)
        os.killpg(process.pid, 9)


def test_without_a_directory_for_it_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    LockFile(TOKEN).lock()
    assert not is_abandoned(TOKEN)


def test_the_lease_of_a_process_that_was_killed_is_free_at_once(holder: subprocess.Popen[str]) -> None:
    key = cache_key("tests", "lease")
    caches["default"].set(key, TOKEN)
    lease = Lease("default", "tests", seconds=15)
    assert not lease.acquire()
    end(holder)
    assert lease.acquire()
    assert caches["default"].get(key) == lease.token
    lease.release()
    lease.close()


def test_it_goes_with_a_lease_that_is_released_and_stays_with_one_that_could_not_be(directory: Path) -> None:
    lease = Lease("default", "tests", seconds=15)
    assert lease.acquire()
    lease.close()  # the cache was down, say
    assert len(list(directory.iterdir())) == 1
    lease = Lease("default", "tests", seconds=15)
    caches["default"].clear()
    assert lease.acquire()
    assert len(list(directory.iterdir())) == 2
    lease.release()
    assert len(list(directory.iterdir())) == 1
    lease.close()

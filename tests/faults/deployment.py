"""A whole deployment: a Flagsmith, the listener, and threads that read all the time and miss nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from django.core.cache import caches
from django.db import connections
from django.test import override_settings
from standin.server import StandIn

from django_flagsmith_realtime.environment.snapshot import Snapshot
from django_flagsmith_realtime.exceptions import StoreError
from django_flagsmith_realtime.reading.reader import get_reader
from django_flagsmith_realtime.signals import flags_updated
from tests.support.documents import FIRST, banner, configured_store
from tests.support.listening import listening
from tests.support.paths import ROOT
from tests.support.processes import project_environment, wait_until

SLOW = 0.5  # seconds; no read of a cache that works takes as long
READ = "from django_flagsmith_realtime import get_flags; print(get_flags().get_feature_value('banner_text'))"


class Readers:
    """Threads of one process that read without a pause, and note whatever a read must not do."""

    def __init__(self, count: int = 3) -> None:
        self.seen: list[Snapshot | None] = [None] * count
        self.reads = 0
        self.slow: list[tuple[float, float]] = []  # begin and end
        self.wrong: list[str] = []
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(index,)) for index in range(count)]

    @contextmanager
    def reading(self) -> Iterator[Readers]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._done.set()
            for thread in self._threads:
                thread.join(10)

    def have(self, text: str) -> bool:
        return all(banner(snapshot) == text for snapshot in self.seen)

    def go_on(self) -> None:
        """Wait until some more reads were answered."""
        goal = self.reads + 100
        wait_until(lambda: self.reads >= goal, "another hundred reads")

    def _run(self, index: int) -> None:
        try:
            get_reader().current()  # whoever holds nothing waits for the first look, with all others
            while not self._done.wait(0.001):
                self.seen[index] = self._read(self.seen[index])
                self.reads += 1
        except Exception as error:
            self.wrong.append(f"a read raised {error!r}")
        finally:
            connections.close_all()

    def _read(self, before: Snapshot | None) -> Snapshot | None:
        began = time.monotonic()
        snapshot = get_reader().current()
        ended = time.monotonic()
        if ended - began > SLOW:
            self.slow.append((began, ended))
        if before and (snapshot is None or snapshot.sequence < before.sequence):
            self.wrong.append(f"a reader stepped back from {before.head} to {snapshot and snapshot.head}")
        if snapshot and snapshot.environment.version != snapshot.version:
            self.wrong.append(f"a reader saw a mix: {snapshot.head}")
        return snapshot

    def check(self) -> None:
        """Assert that nobody read anything wrong."""
        assert not self.wrong

    def check_tries(self) -> None:
        """Assert that one thread at a time tried a cache that hung, and then nobody for a second."""
        tries = sorted(self.slow)
        for (_, ended), (began, _) in pairwise(tries):
            assert began >= ended, "two threads waited for the cache at once"
            assert began - ended > 0.9, "the cache was tried more than once a second"
        assert all(ended - began < 3 for began, ended in tries)


class Deployment:
    """What a test asks of a running deployment."""

    def __init__(self, standin: StandIn, readers: Readers) -> None:
        self.standin = standin
        self.readers = readers
        self.signaled: list[str] = []  # the banner's text with each `flags_updated`
        self._requests_before = 0

    @property
    def requests(self) -> int:
        """The document requests since the fault began."""
        return self.standin.counts.environment_document - self._requests_before

    def settle(self) -> Snapshot:
        """Wait until all is well; count document requests from here on."""
        wait_until(lambda: self.readers.have(FIRST), "the first flags")
        wait_until(lambda: self.standin.counts.open_streams == 1, "the stream")
        self._requests_before = self.standin.counts.environment_document
        stored = self.stored()
        assert stored
        return stored

    def stored(self) -> Snapshot | None:
        """Return what a process that starts now finds in the cache."""
        store = configured_store()
        try:
            head = store.read_head()
            environment = head and store.read_environment(head.sequence)
        except StoreError:
            return None
        finally:
            store.close()
        return Snapshot(head, environment) if head and environment else None

    def has(self, text: str) -> bool:
        """Tell whether every reader, and any process that starts now, has a text."""
        return self.readers.have(text) and banner(self.stored()) == text


@contextmanager
def deployed(standin: StandIn, **more: Any) -> Iterator[Deployment]:
    """Run a listener in a thread and readers in others over the cache of the settings."""
    with (
        override_settings(FLAGSMITH={**standin.setting, **more}),
        listening(stops_within=10),
        Readers().reading() as readers,
    ):
        deployment = Deployment(standin, readers)

        def note(*, snapshot: Snapshot, **kwargs: Any) -> None:
            deployment.signaled.append(str(banner(snapshot)))

        flags_updated.connect(note)
        try:
            yield deployment
        finally:
            flags_updated.disconnect(note)
        readers.check()


def read_in_new_process(cache: dict[str, Any], **setting: Any) -> str:
    """Return the banner's text as a process sees it that starts now."""
    return subprocess.run(
        [sys.executable, "-c", f"import django; django.setup(); {READ}"],
        env=project_environment({"ENVIRONMENT_KEY": "ser.tests", **setting}, cache),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    ).stdout.strip()


def delete(key: str) -> None:
    """Take a key from the cache as an eviction does."""
    cache = caches.create_connection("default")
    cache.delete(key)
    cache.close()


def is_there(key: str) -> bool:
    """Tell whether the cache has a key, without making it a recently used one."""
    cache = caches.create_connection("default")
    try:
        return key in cache
    finally:
        cache.close()


def put(key: str, value: object) -> None:
    """Write to the cache as something else does that uses it."""
    cache = caches.create_connection("default")
    cache.set(key, value, None)
    cache.close()

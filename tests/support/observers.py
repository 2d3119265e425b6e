"""Observers for tests, and how to let them watch all reads of the process, as a setting does."""

from __future__ import annotations

from functools import cache

import pytest

from django_flagsmith_realtime.reading import flags
from django_flagsmith_realtime.reading.observers import Observer, Read


class Recorder(Observer):
    def __init__(self) -> None:
        self.reads: list[Read] = []

    def observe(self, read: Read) -> None:
        self.reads.append(read)


class PatientRecorder(Recorder):
    each_read = True


def watch(monkeypatch: pytest.MonkeyPatch, *observers: Observer) -> None:
    """Let observers watch what is read in scopes that begin from now on."""
    monkeypatch.setattr(flags, "process_observers", cache(lambda: observers))

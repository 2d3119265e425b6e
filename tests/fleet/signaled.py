"""An app whose receiver takes a while, and writes down each version that it was told of, who was, and what it follows."""

from __future__ import annotations

import os
import time
from typing import Any

from django.apps import AppConfig

from django_flagsmith_realtime.signals import flags_updated
from tests.fleet.watched import directory

TAKES = 0.01  # seconds, before and after


class SignaledConfig(AppConfig):
    name = "tests.fleet"

    def ready(self) -> None:
        flags_updated.connect(note)


def note(*, snapshot: Any, previous: Any, **kwargs: Any) -> None:
    time.sleep(TAKES)
    with (directory() / "signaled").open("a") as file:
        print(snapshot.sequence, os.getpid(), previous.sequence if previous else 0, file=file)
    time.sleep(TAKES)

"""An app whose receiver writes down each `flags_updated`, and sleeps or dies there when a test says so.

Its environment can also shorten the times of `USAGE`.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

from django.apps import AppConfig

from django_flagsmith_realtime.signals import flags_updated


class ReceiversConfig(AppConfig):
    name = "tests.support.receivers"

    def ready(self) -> None:
        flags_updated.connect(note)
        if seconds := os.environ.get("TEST_REPORT_SECONDS"):
            report_usage_every(float(seconds))


def report_usage_every(seconds: float) -> None:
    """Let `USAGE` report this often instead of once a minute, and its processes write six times as often as that."""
    from django_flagsmith_realtime.listener import usage as reporting
    from django_flagsmith_realtime.reading import usage as counting

    reporting.REPORT_SECONDS, counting.WRITE_SECONDS = seconds, seconds / 6


def die_before(step: str) -> None:
    """End this process as `kill -9` does, if this is the step that the test named."""
    if os.environ.get("TEST_DIE_BEFORE") == step:
        os.kill(os.getpid(), signal.SIGKILL)


def note(*, snapshot: Any, **kwargs: Any) -> None:
    die_before("signals")
    if path := os.environ.get("TEST_SIGNALS"):
        with Path(path).open("a") as file:
            print(snapshot.environment.flags["banner_text"].value, file=file)
    time.sleep(float(os.environ.get("TEST_RECEIVER_SECONDS", 0)))

"""A listener in a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.test import override_settings

from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.listener.factory import build_listener
from django_flagsmith_realtime.listener.listener import Listener


@contextmanager
def listening(*, stops_within: float = 1.0, **setting: Any) -> Iterator[Listener]:
    """Run the listener of the settings in a thread; `setting` is its `FLAGSMITH`, where one is given."""
    with override_settings(**({"FLAGSMITH": setting} if setting else {})):
        listener = build_listener(get_config())

        def run() -> None:
            listener.run()
            connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener
        finally:
            listener.stop()
            thread.join(stops_within)
            assert not thread.is_alive(), f"a stop takes effect within {stops_within:g} s"

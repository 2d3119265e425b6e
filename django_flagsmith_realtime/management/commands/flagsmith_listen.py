"""`manage.py flagsmith_listen`: the listener in a process of its own."""

from __future__ import annotations

import logging
import os
import signal
import threading
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ...conf import Config, explain, get_config
from ...exceptions import FlagsmithError
from ...listener.factory import build_listener
from ...listener.listener import Listener
from ...listener.on_demand import refresh_now
from ...listener.preconditions import find_command_problems
from ..terminal import Output

STOP_SECONDS = 0.6  # for a clean stop: a signal ends the process within a second, also while the cache hangs
LEVELS = {0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG, 3: logging.DEBUG}


class Command(BaseCommand):
    help = (
        "Keep the feature flags in Django's cache up to date: fetch them from Flagsmith, hold its stream open, and "
        "fetch them again whenever it announces a change. Run it beside the web processes, on as many hosts as you "
        "like: one listener leads, and another takes over within LEASE_SECONDS when the leader is gone. SIGTERM and "
        "Ctrl-C end it within a second, and another takes over at once."
    )
    requires_system_checks = ()  # its own errors are one line, not a report

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once",
            action="store_true",
            help="fetch and publish the flags once, or have the listener that leads do so, and exit: with 0 when they "
            "are in the cache, with 1 and the reason when not",
        )

    def handle(self, *args: Any, once: bool, verbosity: int, **options: Any) -> None:
        self.stdout = Output(self.stdout)
        if problems := find_command_problems():
            raise CommandError(explain(problems[0]))
        self._log_to_terminal(LEVELS[verbosity])
        if once:
            self._refresh(get_config())
        else:
            self._listen(get_config())

    def _refresh(self, config: Config) -> None:
        patience = config.lease_seconds + config.request_timeout  # another takes over, and fetches
        try:
            outcome = refresh_now(config, patience=patience)
        except FlagsmithError as error:
            raise CommandError(str(error)) from None
        if outcome.is_pending:
            raise CommandError(
                f"The listener that leads, {outcome.leader}, did not fetch the flags within {patience:g} s: "
                "its log says why."
            )
        if outcome.leader:
            self.stdout.write(f"Fetched by the listener that leads, {outcome.leader}")
        else:
            update = outcome.update
            self.stdout.write(f"Published version {update.snapshot.version[:8]}" if update else "Nothing changed")

    def _listen(self, config: Config) -> None:
        listener = build_listener(config)

        def stop() -> None:
            listener.stop()
            timer = threading.Timer(STOP_SECONDS, self._leave, (listener,))
            timer.daemon = True
            timer.start()

        with on_stop_signal(stop):
            listener.run()

    def _leave(self, listener: Listener) -> None:
        """End the process although the cache or a receiver hangs; a publish can be interrupted at every step."""
        listener.give_way()
        self.stderr.write("Stopped without waiting any longer for the cache or for a receiver of signals")
        self.stderr.flush()
        os._exit(0)

    def _log_to_terminal(self, level: int) -> None:
        """Show the listener's log, unless the project's LOGGING handles it."""
        logger = logging.getLogger("django_flagsmith_realtime")
        if not logger.hasHandlers():
            handler = logging.StreamHandler(self.stdout)
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
            logger.addHandler(handler)
        if logger.level == logging.NOTSET:
            logger.setLevel(level)


@contextmanager
def on_stop_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first SIGTERM or SIGINT; the second one kills."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    previous = {number: signal.getsignal(number) for number in numbers}

    def handle(number: int, frame: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        stop()

    for number in numbers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

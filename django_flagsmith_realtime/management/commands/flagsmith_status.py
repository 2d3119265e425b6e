"""`manage.py flagsmith_status`: how the flags are, for a person or a probe."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ...conf import explain, get_config
from ...listener.preconditions import find_command_problems
from ...monitoring.health import CACHE, NO_LISTENER, NO_SNAPSHOT, STALE, Health, examine
from ...monitoring.status_json import to_plain
from ...monitoring.status_text import Styles, to_text
from ...storage.store import Store

EXIT_CODES = {CACHE: 6, NO_SNAPSHOT: 3, NO_LISTENER: 4, STALE: 5}  # 1 and 2 are Django's: an error, wrong arguments
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


class Command(BaseCommand):
    help = (
        "Show how the feature flags are: who listens to Flagsmith, since when and how, what is published, and what "
        "went wrong last. Exit codes: 0 all is well, 1 the settings are wrong, 2 wrong arguments, 3 there are no "
        "flags in the cache, 4 nobody is listening, 5 the flags are stale, 6 the cache can't be read."
    )
    requires_system_checks = ()  # its own errors are one line, not a report

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON, in one line with --watch")
        parser.add_argument(
            "--max-age",
            type=seconds,
            metavar="SECONDS",
            help="exit with 5 when the flags were not known to be current within this; FLAGSMITH['MAX_STALE'] else",
        )
        parser.add_argument("--watch", action="store_true", help="refresh in place until Ctrl-C")
        parser.add_argument(
            "--interval", type=seconds, default=1.0, metavar="SECONDS", help="between two looks of --watch (default: 1)"
        )

    def handle(self, *args: Any, max_age: float | None, watch: bool, **options: Any) -> None:
        if problems := find_command_problems():
            raise CommandError(explain(problems[0]))
        config = get_config()
        store = Store(config.cache, config.namespace)
        look = partial(examine, config, store, max_age=max_age)
        try:
            if watch:
                self._watch(look, **options)
            else:
                self._show_once(look(), **options)
        finally:
            store.close()

    def _show_once(self, health: Health, *, as_json: bool, **options: Any) -> None:
        self.stdout.write(json.dumps(to_plain(health), indent=2) if as_json else self._text(health))
        if not health.is_healthy:
            sys.exit(EXIT_CODES[health.troubles[0].kind])

    def _watch(self, look: Callable[[], Health], *, as_json: bool, interval: float, **options: Any) -> None:
        with suppress(KeyboardInterrupt):
            while True:
                health = look()
                self._refresh(json.dumps(to_plain(health)) if as_json else self._text(health), in_place=not as_json)
                time.sleep(interval)

    def _refresh(self, text: str, *, in_place: bool) -> None:
        if in_place and self.stdout.isatty():
            lines = [f"{datetime.now(timezone.utc):%H:%M:%S} UTC, Ctrl-C to end", "", *text.splitlines()]
            text = HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in lines) + CLEAR_BELOW
        self.stdout.write(text)
        self.stdout.flush()

    def _text(self, health: Health) -> str:
        styles = Styles(good=self.style.SUCCESS, bad=self.style.ERROR, odd=self.style.WARNING)
        return to_text(health, styles=styles, width=shutil.get_terminal_size((100, 24)).columns)


def seconds(text: str) -> float:
    """Read a number of seconds from the command line."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number

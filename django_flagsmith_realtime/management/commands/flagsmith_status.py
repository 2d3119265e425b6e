"""`manage.py flagsmith_status`: the health of the deployment, for a person or a probe."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime, timezone
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import override

from ...conf import explain, get_config
from ...listener.preconditions import find_command_problems
from ...monitoring.health import CACHE, FAILING, NO_LISTENER, NO_SNAPSHOT, STALE, Health, check_health
from ...monitoring.status_text import to_text
from ...storage.store import Store
from ..terminal import Output

# 1 and 2 are Django's: an error, wrong arguments
EXIT_CODES = {CACHE: 6, NO_SNAPSHOT: 3, NO_LISTENER: 4, FAILING: 7, STALE: 5}
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


class Command(BaseCommand):
    help = (
        "Show the status of the feature flags: which process listens to Flagsmith and since when, which version is "
        "published, and the last error. Exit codes: 0 all is well, 1 the settings are wrong, 2 wrong arguments, "
        "3 there are no flags in the cache, 4 nobody is listening, 5 the flags are stale, 6 the cache can't be read, "
        "7 Flagsmith does not answer."
    )
    requires_system_checks = ()  # its own errors are one line, not a report

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON; with --watch, in one line")
        parser.add_argument(
            "--max-age",
            type=seconds,
            metavar="SECONDS",
            help="exit with 5 if the flags were last confirmed longer ago (default: FLAGSMITH['MAX_STALE'])",
        )
        parser.add_argument("--watch", action="store_true", help="refresh in place until Ctrl-C")
        parser.add_argument(
            "--interval", type=seconds, default=1.0, metavar="SECONDS", help="between refreshes of --watch (default: 1)"
        )

    @override("en")  # as Django's own commands, whatever LANGUAGE_CODE says
    def handle(
        self, *args: Any, as_json: bool, max_age: float | None, watch: bool, interval: float, **options: Any
    ) -> None:
        self.stdout = Output(self.stdout)
        if problems := find_command_problems():
            raise CommandError(explain(problems[0]))
        config = get_config()
        with closing(Store(config.cache, config.namespace)) as store:
            if watch:
                with suppress(KeyboardInterrupt):
                    self._watch(lambda: check_health(config, store, max_age=max_age), as_json, interval)
                return
            health = check_health(config, store, max_age=max_age)
            self.stdout.write(json.dumps(health.to_plain(), indent=2) if as_json else self._format(health))
            if health.problems:
                sys.exit(EXIT_CODES[health.problems[0].kind])

    def _watch(self, check: Callable[[], Health], as_json: bool, interval: float) -> NoReturn:
        in_place = not as_json and self.stdout.isatty()
        while True:
            health = check()
            text = json.dumps(health.to_plain()) if as_json else self._format(health)
            if in_place:
                lines = [f"{datetime.now(timezone.utc):%H:%M:%S} UTC, Ctrl-C to end", "", *text.splitlines()]
                text = HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in lines) + CLEAR_BELOW
            self.stdout.write(text)
            self.stdout.flush()
            time.sleep(interval)

    def _format(self, health: Health) -> str:
        width = shutil.get_terminal_size((100, 24)).columns
        return to_text(health, width=width, style=lambda level, text: getattr(self.style, level.upper())(text))


def seconds(text: str) -> float:
    """Parse a number of seconds from the command line."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return number

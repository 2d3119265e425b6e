"""`manage.py flagsmith_flags`: which flags are on, and why."""

from __future__ import annotations

import json
import shutil
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import pluralize
from django.utils.translation import override

from ...api import get_flags
from ...conf import explain, get_config, suggest
from ...environment.snapshot import Snapshot
from ...environment.traits import InvalidTraits, parse_pairs
from ...exceptions import StoreError
from ...identity import Identity
from ...listener.preconditions import find_command_problems, find_inline_problems
from ...monitoring.formatting import format_age, printable
from ...monitoring.usage import describe_usage, read_usage
from ...reading.reader import get_reader
from ...storage.snapshot_file import SEQUENCE
from ...storage.usage import DAY
from ..terminal import Output, format_flag, format_table

PIPED_WIDTH = 120  # columns, where no terminal says how many it has


class Command(BaseCommand):
    help = (
        "Show which feature flags are on, and why: the flags that a request would see now, of the environment or of "
        "one identity. Reads Django's cache; sends nothing to Flagsmith."
    )
    requires_system_checks = ()  # its own errors are one line, not a report

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", metavar="NAME", help="show only this flag, with its whole value")
        parser.add_argument("--identity", metavar="ID", help="evaluate the flags for this identity")
        parser.add_argument(
            "--trait",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="a trait of the identity; may be repeated. A value that is JSON is parsed as JSON "
            '(42, true, "42"), any other is text',
        )
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help='print {name: {"enabled", "value", "variant", "reason"}} and nothing else; with USAGE also '
            '"idle_days" and "reads_per_day"',
        )

    @override("en")  # as Django's own commands, whatever LANGUAGE_CODE says
    def handle(
        self, *args: Any, name: str | None, identity: str | None, trait: list[str], as_json: bool, **options: Any
    ) -> None:
        self.stdout = Output(self.stdout)
        who = parse_identity(identity, trait)
        if problems := find_inline_problems():
            raise CommandError(explain(problems[0]))
        flags = get_flags(identity=who)
        snapshot = flags.snapshot
        if snapshot is None:
            problems = find_command_problems()
            raise CommandError(explain(problems[0]) if problems else explain_missing_flags())
        names = sorted({*flags, *get_config().defaults})
        if name is not None and name not in names:
            hint = suggest(name, names) or "manage.py flagsmith_flags, without a name, shows all flags."
            raise CommandError(f"There is no flag {name!r}. {hint}")
        shown = {each: flags.find(each) for each in (names if name is None else [name])}
        usage, now = read_usage(get_config(), get_reader().store), time.time()
        if as_json:
            fields = ("enabled", "value", "variant", "reason")
            plain = {each: {field: getattr(flag, field) for field in fields} for each, flag in shown.items()}
            if usage:
                for each, described in plain.items():
                    described["idle_days"] = int((now - usage.idle_since(each)) // DAY)
                    described["reads_per_day"] = round(usage.reads_per_day(each, now), 1)
            text = json.dumps(plain, indent=2)
        else:
            width = shutil.get_terminal_size((PIPED_WIDTH, 24)).columns
            table = format_table(shown.values(), width, self._paint)
            read = describe_usage(usage, name, now) if usage and name else None
            body = table if name is None else format_flag(shown[name], self._paint, read)
            text = f"{describe(snapshot)}{f', for {who.identifier!r}' if who else ''}\n\n{body}"
        self.stdout.write(text)

    def _paint(self, state: str) -> str:
        return self.style.SUCCESS(state) if state.strip() == "on" else state


def parse_identity(identifier: str | None, pairs: Iterable[str]) -> Identity | None:
    """Return the identity of `--identity` and `--trait`; raise `CommandError` where they don't make one."""
    try:
        traits = parse_pairs(pairs)
    except InvalidTraits as error:
        raise CommandError(f"--trait: {error}") from None
    if identifier is None and traits:
        raise CommandError("--trait needs an identity: name it with --identity ID.")
    if identifier == "":
        raise CommandError("--identity is empty: name an identity, or leave out the option.")
    return None if identifier is None else Identity(identifier, traits)


def describe(snapshot: Snapshot) -> str:
    """Return the environment, the version and its age in one line."""
    written = "written to SNAPSHOT_FILE" if snapshot.sequence == SEQUENCE else "published"
    age = format_age(time.time() - snapshot.head.published_at / 1_000_000)
    environment = snapshot.environment
    version = f"version {snapshot.version[:8]}, {written} {age}"
    count = len(environment.flags)
    return f"Environment {printable(environment.name)}, {version}, {count} flag{pluralize(count)}"


def explain_missing_flags() -> str:
    """Return why there are no flags, and what to do."""
    config = get_config()
    try:
        get_reader(config).store.read_head()
    except StoreError as error:
        return str(error)
    until_then = " Until then, requests see FLAGSMITH['DEFAULTS']." if config.defaults else ""
    return (
        f"There are no flags in the cache {config.cache!r} yet. Run manage.py flagsmith_listen, which keeps them "
        f"there, or flagsmith_listen --once.{until_then}"
    )

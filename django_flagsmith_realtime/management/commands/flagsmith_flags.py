"""`manage.py flagsmith_flags`: what is on, and why."""

from __future__ import annotations

import json
import shutil
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from flagsmith.models import Flag

from ...api import Flags, get_flags
from ...conf import Config, explain, get_config
from ...environment.snapshot import Snapshot
from ...environment.traits import InvalidTraits, parse_pairs
from ...exceptions import StoreError
from ...identity import Identity
from ...listener.preconditions import find_command_problems, find_inline_problems
from ...storage.snapshot_file import SEQUENCE
from ...storage.store import Store
from ..table import format_age, format_flag, format_table, printable

PIPED_WIDTH = 120  # columns, where no terminal says how many it has


class Command(BaseCommand):
    help = (
        "Show which feature flags are on, and why: those that a request would see now, for everybody or for one "
        "identity. It reads Django's cache and asks Flagsmith nothing."
    )
    requires_system_checks = ()  # its own errors are one line, not a report

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", metavar="NAME", help="show this flag only, its value whole")
        parser.add_argument("--identity", metavar="ID", help="evaluate the flags for this identity")
        parser.add_argument(
            "--trait",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="a trait of the identity, as many as there are; the value is read as JSON where it is "
            'JSON (42, true, "42"), else as text',
        )
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help='print {name: {"enabled", "value", "variant", "reason"}} and nothing else',
        )

    def handle(
        self, *args: Any, name: str | None, identity: str | None, trait: list[str], as_json: bool, **options: Any
    ) -> None:
        whom = parse_identity(identity, trait)
        flags, snapshot = self._read(whom)
        shown = {each: flags.get_flag(each) for each in select(name, [*flags, *get_config().defaults])}
        if as_json:
            self._write(json.dumps({each: as_plain(flag) for each, flag in shown.items()}, indent=2))
        else:
            table = format_table(shown.values(), terminal_width(), self._paint)
            body = table if name is None else format_flag(shown[name], self._paint)
            self._write(f"{describe(snapshot)}{f', for {whom.identifier!r}' if whom else ''}\n\n{body}")

    def _read(self, identity: Identity | None) -> tuple[Flags, Snapshot]:
        if problems := find_inline_problems():
            raise CommandError(explain(problems[0]))
        flags = get_flags(identity=identity)
        if flags.snapshot is None:
            problems = find_command_problems()
            raise CommandError(explain(problems[0]) if problems else say_why_not(get_config()))
        return flags, flags.snapshot

    def _paint(self, state: str) -> str:
        return self.style.SUCCESS(state) if state.strip() == "on" else state

    def _write(self, text: str) -> None:
        encoding = getattr(self.stdout, "encoding", None) or "utf-8"
        self.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def parse_identity(identifier: str | None, pairs: Iterable[str]) -> Identity | None:
    """Return the identity of `--identity` and `--trait`; raise `CommandError` where they don't make one."""
    try:
        traits = parse_pairs(pairs)
    except InvalidTraits as error:
        raise CommandError(f"--trait: {error}") from None
    if identifier is None and traits:
        raise CommandError("--trait needs an identity: name it with --identity ID.")
    if identifier == "":
        raise CommandError(
            "--identity is empty: name an identity, or leave the option out for the environment's flags."
        )
    return None if identifier is None else Identity(identifier, traits)


def select(name: str | None, known: Iterable[str]) -> list[str]:
    """Return the names to show, in order; raise `CommandError` for one that is unknown."""
    names = sorted(set(known))
    if name is None:
        return names
    if name not in names:
        raise CommandError(f"There is no flag {name!r}. {suggest(name, names)}")
    return [name]


def suggest(name: str, names: list[str]) -> str:
    """Return what else the name may have been meant to be."""
    by_lower = {each.lower(): each for each in names}
    close = [by_lower[each] for each in get_close_matches(name.lower(), by_lower, n=3)]
    if close:
        return f"Did you mean {', '.join(map(repr, close))}?"
    return "manage.py flagsmith_flags, without a name, shows all there are."


def describe(snapshot: Snapshot) -> str:
    """Return which flags these are, and since when."""
    age = format_age(time.time() - snapshot.head.published_at / 1_000_000)
    since = f"written to SNAPSHOT_FILE {age} ago" if snapshot.sequence == SEQUENCE else f"published {age} ago"
    environment = snapshot.environment
    return (
        f"Environment {printable(environment.name)}, version {snapshot.version[:8]}, {since}, "
        f"{len(environment.flags)} flags"
    )


def say_why_not(config: Config) -> str:
    """Return why there are no flags, and what to do."""
    store = Store(config.cache, config.namespace)
    try:
        store.read_head()
    except StoreError as error:
        return str(error)
    finally:
        store.close()
    until_then = " Until then, requests see FLAGSMITH['DEFAULTS']." if config.defaults else ""
    return (
        f"There are no flags in the cache {config.cache!r} yet. Run manage.py flagsmith_listen, which keeps them "
        f"there, or flagsmith_listen --once.{until_then}"
    )


def as_plain(flag: Flag) -> dict[str, Any]:
    """Return a flag for JSON."""
    return {"enabled": flag.enabled, "value": flag.value, "variant": flag.variant, "reason": flag.reason}


def terminal_width() -> int:
    """Return the columns of the terminal, as `COLUMNS` or itself tells."""
    return shutil.get_terminal_size((PIPED_WIDTH, 24)).columns

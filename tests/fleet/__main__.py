"""Let a fleet on two hosts come through everything, and print what it came to as Markdown tables."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fleet.faults import COURSES, Figure, holds
from tests.fleet.signals import Course
from tests.fleet.tables import cost_table, fault_table, put_into, signal_table
from tests.fleet.workers import compare
from tests.fleet.world import running

Part = Callable[[argparse.Namespace], tuple[str, bool]]  # its table, and whether all held


def say(what: str) -> None:
    """Say how far it is: on one line of a terminal, else on lines of their own."""
    line = f"\r{what:<100}" if sys.stderr.isatty() else f"{what}\n"
    print(line, end="", file=sys.stderr, flush=True)


def faults(options: argparse.Namespace) -> tuple[str, bool]:
    figures: list[Figure] = []
    rounds = [f"{number} of {options.times}" for number in range(1, options.times + 1)]
    held = [suffer_all(name, options.lease_seconds, figures) for name in rounds]
    networks = ", ".join({figure.network for figure in figures})
    return f"{networks}, LEASE_SECONDS {options.lease_seconds:g}:\n\n{fault_table(figures)}", all(held)


def suffer_all(name: str, lease_seconds: float, figures: list[Figure]) -> bool:
    """Let each fault happen once and add its figure; one that the fleet does not come through ends the round."""
    began = len(figures)
    try:
        with running(lease_seconds=lease_seconds) as world:
            for fault, course in COURSES.items():
                say(f"{name}: {fault}")
                figures.append(course(world))
    except pytest.fail.Exception as error:
        say(f"did not hold: {error}")
        return False
    failed = [figure for figure in figures[began:] if not holds(figure, lease_seconds)]
    for figure in failed:
        say(f"did not hold: {figure}")
    return not failed


def signals(options: argparse.Namespace) -> tuple[str, bool]:
    with running(lease_seconds=options.lease_seconds, readers=1) as world:
        figure = Course(world, options.seed, say).run(options.versions)
    return signal_table(figure), not figure.missed


def workers(options: argparse.Namespace) -> tuple[str, bool]:
    with running(lease_seconds=options.lease_seconds, readers=0) as world:
        say(f"{options.workers} workers, then again with the SDK")
        ours, theirs = compare(world, options.workers)
    return cost_table([ours, theirs]), (ours.streams, ours.requests_per_update) == (1, 1)


PARTS: dict[str, Part] = {"faults": faults, "signals": signals, "workers": workers}


def at_least(least: float) -> Callable[[str], float]:
    """Return what reads a number that must not be less."""

    def number(text: str) -> float:
        value = type(least)(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return value

    return number


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all of them where none is named")
    parser.add_argument("--times", type=at_least(1), default=10, help="how often to make each fault (%(default)s)")
    parser.add_argument(
        "--versions", type=at_least(2), default=300, help="to publish while listeners are killed (%(default)s)"
    )
    parser.add_argument(
        "--workers", type=at_least(2), default=50, help="of gunicorn, on both hosts together (%(default)s)"
    )
    parser.add_argument("--lease-seconds", type=at_least(8.0), default=15, help="of the listeners (%(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="for the same kills")
    parser.add_argument("--table", type=Path, help="the Markdown file whose tables are to be replaced")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    return options


def main() -> int:
    options = parse()
    all_held = True
    for name in options.parts or PARTS:
        table, held = PARTS[name](options)
        all_held = all_held and held
        print(f"\n{table}", flush=True)
        if options.table:
            put_into(options.table, name, table)
    return 0 if all_held else 1


if __name__ == "__main__":
    sys.exit(main())

"""Run the benchmarks, and write docs/explanation/benchmarks.md once all have run: `make bench`, or `make bench QUICK=1`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module, metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "example_project")]

from tests.support.processes import MemcachedServer, RedisServer  # noqa: E402

SECTIONS = ("reads", "pages", "updates", "memory", "starts", "scale", "live")
PEERS = (
    "django-flagsmith-realtime",
    "flagsmith",
    "django-waffle",
    "django-flags",
    "launchdarkly-server-sdk",
    "UnleashClient",
    "Django",
    "redis",
    "pymemcache",
    "gunicorn",
    "uvicorn",
)
START, END = "<!-- tables -->", "<!-- end of tables -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; without one: all")
    parser.add_argument("--quick", action="store_true", help="fewer turns, no hundred processes")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    with ExitStack() as stack:
        prepare(stack)
        shown = list(run(options.sections or SECTIONS, turns=7 if options.quick else 41))
    if not (options.sections or options.quick):
        write(ROOT / "docs/explanation/benchmarks.md", [versions(), *shown])


def prepare(stack: ExitStack) -> None:
    """Start the caches, and set Django up."""
    redis, memcached = stack.enter_context(RedisServer()), stack.enter_context(MemcachedServer())
    directory = stack.enter_context(tempfile.TemporaryDirectory())
    os.environ.update(
        DJANGO_SETTINGS_MODULE="benchmarks.settings",
        BENCH_DATABASE=f"{directory}/db.sqlite3",
        BENCH_CACHES=json.dumps({"Redis": redis.cache(), "memcached": memcached.cache()}),
    )
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)


def run(sections: tuple[str, ...], turns: int) -> Iterator[str]:
    began = time.monotonic()
    for number, name in enumerate(sections, 1):
        print(f"[{number}/{len(sections)}, {time.monotonic() - began:.0f} s] {name} …", file=sys.stderr, flush=True)
        for table in import_module(f"benchmarks.{name}").tables(turns):
            print(table, flush=True)
            yield str(table)


def versions() -> str:
    found = ", ".join(f"{name} {metadata.version(name)}" for name in PEERS)
    return f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs; {found}.\n"


def write(page: Path, parts: list[str]) -> None:
    before, _, rest = page.read_text().partition(START)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{START}\n\n" + "\n".join(parts) + f"\n{END}{after}")
    print(f"Written to {page}", file=sys.stderr)


main()

"""Run the benchmarks and write docs/benchmarks.md: `make bench`, or `make bench QUICK=1`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "example_project")]

from tests.processes import MemcachedServer, RedisServer  # noqa: E402


def main() -> None:
    redis, memcached = RedisServer(), MemcachedServer()
    redis.start()
    memcached.start()
    directory = tempfile.mkdtemp()
    os.environ["BENCH_DATABASE"] = f"{directory}/db.sqlite3"
    os.environ["BENCH_CACHES"] = json.dumps({"Redis": redis.cache(), "memcached": memcached.cache()})
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("createcachetable")
    from benchmarks import memory, reads, updates

    try:
        turns = int(sys.argv[1]) if len(sys.argv) > 1 else 25
        sections = {"reads": reads, "updates": updates, "memory": memory}
        for table in (table for name in sys.argv[2:] or sections for table in sections[name].tables(turns)):
            print(table, flush=True)
    finally:
        redis.end()
        memcached.end()


main()

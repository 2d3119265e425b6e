"""What it takes to import a package, and to have the first flag after a start."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .tables import Table

CODES = {
    "Python alone": "",
    "Django, set up": "import django; django.setup()",
    "Django and this package": "import django; django.setup(); from django_flagsmith_realtime import get_flags",
    "official SDK": "import flagsmith",
    "LaunchDarkly": "import ldclient",
    "Unleash": "import UnleashClient",
    "django-waffle": "import django; django.setup(); import waffle.models",
    "django-flags": "import django; django.setup(); import flags.state",
}
MEASURE = "\nimport json, resource, sys; print(json.dumps([len(sys.modules), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))"


def tables(turns: int) -> Iterator[Table]:
    table = Table(
        "A process that begins",
        "CPU of a new process that imports it and ends, median; modules and memory (maximum resident set) then. All "
        "peers' apps are installed where Django is set up.",
        ["imported", "CPU", "modules", "memory"],
    )
    runs: dict[str, list[tuple[float, int, int]]] = {name: [] for name in CODES}
    for _ in range(max(3, turns // 4)):
        for name, code in CODES.items():
            runs[name].append(_start(code))
    for name, found in runs.items():
        cpu, modules, memory = (statistics.median(column) for column in zip(*found, strict=True))
        table.rows.append([name, f"{cpu * 1_000:.0f} ms", f"{modules:.0f}", f"{memory / 1_024:.0f} MiB"])
    yield table


def _start(code: str) -> tuple[float, int, int]:
    before = _children()
    output = subprocess.run([sys.executable, "-c", code + MEASURE], capture_output=True, check=True, cwd=ROOT).stdout
    modules, memory = json.loads(output)
    return _children() - before, modules, memory


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


ROOT = Path(__file__).parent.parent

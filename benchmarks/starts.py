"""What it takes to import a package, and to have the first flag after a start."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .tables import Table

PROJECT = "import django; from django.conf import settings; settings.configure(INSTALLED_APPS={}); django.setup(); "
CODES = {
    "Python alone": "",
    "Django": PROJECT.format([]),
    "this package": PROJECT.format(["django_flagsmith_realtime"])
    + "from django_flagsmith_realtime import get_flags; get_flags",
    "django-waffle": PROJECT.format(["django.contrib.auth", "django.contrib.contenttypes", "waffle"])
    + "import waffle; waffle.flag_is_active",
    "django-flags": PROJECT.format(["flags"]) + "import flags.state",
    "Django and Flagsmith's SDK": PROJECT.format([]) + "import flagsmith",
    "Django and LaunchDarkly's": PROJECT.format([]) + "import ldclient",
    "Django and Unleash's": PROJECT.format([]) + "import UnleashClient",
}
MEASURE = """
import json, re, sys
print(json.dumps([len(sys.modules), int(re.search("VmRSS:\\s*(\\d+)", open("/proc/self/status").read())[1])]))
"""
ROOT = Path(__file__).parent.parent
COMPILING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def tables(turns: int) -> Iterator[Table]:
    table = Table(
        "Starting a process",
        "A new process sets up Django with the package, imports what its users import, and ends: its CPU time, "
        "modules and memory (resident set). Medians.",
        ["imported", "CPU", "modules", "memory"],
    )
    runs: dict[str, list[tuple[float, int, int]]] = {name: [] for name in CODES}
    for code in CODES.values():
        _start(code)  # compiles what was not yet, as an installation does
    for _ in range(max(3, turns // 4)):
        for name, code in CODES.items():
            runs[name].append(_start(code))
    for name, found in runs.items():
        cpu, modules, memory = (statistics.median(column) for column in zip(*found, strict=True))
        table.rows.append([name, f"{cpu * 1_000:.0f} ms", f"{modules:.0f}", f"{memory / 1_024:.0f} MiB"])
    yield table


def _start(code: str) -> tuple[float, int, int]:
    before = _children()
    output = subprocess.run(
        [sys.executable, "-c", f"{code}\n{MEASURE}"], capture_output=True, check=True, cwd=ROOT, env=COMPILING
    ).stdout
    modules, memory = json.loads(output)
    return _children() - before, modules, memory


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime

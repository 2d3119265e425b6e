"""Processes that read flags as web processes do, and report what they hold: `python -m tests.fleet.reader HOST COUNT`.

Each prints a line of JSON when what it holds changes, and every second.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from dataclasses import asdict, dataclass

import django
from django.http import HttpRequest

FLAG = "max_cart_items"
PAUSE = 0.1  # seconds between reads
REPORT_EVERY = 1.0  # seconds


@dataclass
class Report:
    """What one reader has seen since its start; `back` counts reads of an older value than before, or of none."""

    reader: str
    held: int | None = None
    at: float = 0.0  # when that was seen first
    reads: int = 0
    back: int = 0
    errors: int = 0
    told: str = ""  # the last thing that went wrong


def read(report: Report) -> None:
    """Read once, and note what was seen."""
    from django_flagsmith_realtime import get_flags

    report.reads += 1
    try:
        value = get_flags(HttpRequest()).get_feature_value(FLAG)
    except Exception:
        report.errors += 1
        report.told = traceback.format_exc()
        return
    if report.held is not None and (value is None or value < report.held):
        report.back += 1
        report.told = f"{report.held} became {value}"
    if value != report.held:
        report.held, report.at = value, time.monotonic()


def go_on(report: Report, parent: int) -> None:
    """Read until the parent is gone."""
    held: object = ...
    report_at = 0.0
    while os.getppid() == parent:
        read(report)
        if report.held != held or time.monotonic() >= report_at:
            os.write(1, f"{json.dumps(asdict(report))}\n".encode())  # at once, or lines of several would mix
            held, report_at = report.held, time.monotonic() + REPORT_EVERY
        time.sleep(PAUSE)


def main(host: str, count: int) -> None:
    django.setup()
    parent = os.getpid()
    for number in range(1, count + 1):
        if os.fork() == 0:
            try:
                go_on(Report(f"{host}{number}"), parent)
            finally:
                os._exit(0)
    os.wait()  # for what never ends by itself


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""What a process holds, and how long it takes to begin."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .documents import SIZES
from .tables import Table

HELD = """
import gc, json, sys, tracemalloc
import django
django.setup()
from benchmarks.documents import SIZES, PLAIN, SEGMENT, TRAITS, make_body, make_document
from benchmarks.peers import flagsmith_sdk
from django_flagsmith_realtime.environment.snapshot import Environment, parse_document

size = next(size for size in SIZES if size.name == sys.argv[2])
body = make_body(size)

def ours(payload):
    environment = Environment.from_payload(payload)
    environment.flags, environment.identity_flags("x", TRAITS).is_feature_enabled(SEGMENT)
    return environment

def sdk(body):
    client = flagsmith_sdk(json.loads(body))
    del client.offline_handler  # local evaluation holds no document
    client.get_environment_flags(), client.get_identity_flags("x", TRAITS).is_feature_enabled(SEGMENT)
    return client

load, source = (ours, parse_document(json.loads(body)).environment.payload) if sys.argv[1] == "ours" else (sdk, body)
load(source)  # what is imported and cached with the first one does not count
gc.collect()
tracemalloc.start()
held = load(source)
gc.collect()
print(json.dumps(tracemalloc.get_traced_memory()))
"""


def held(which: str, size: str) -> tuple[int, int]:
    """Return the bytes that stay allocated for an environment, and the most that were at once."""
    output = subprocess.run(
        [sys.executable, "-c", HELD, which, size],
        capture_output=True,
        check=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    ).stdout
    stays, peak = json.loads(output)
    return stays, peak


def tables(turns: int) -> Iterator[Table]:
    table = Table(
        "Memory of an environment in a reading process",
        "As `tracemalloc` counts it, after a read for the environment and one for an identity. *Peak*: while an "
        "update is loaded, not counting what was held before.",
        ["environment", "here", "official SDK", "to the SDK", "peak here", "peak of the SDK"],
    )
    for size in SIZES:
        (ours, our_peak), (theirs, their_peak) = held("ours", size.name), held("sdk", size.name)
        table.rows.append(
            [
                str(size),
                *(f"{bytes / 1024:,.0f} KiB" for bytes in (ours, theirs)),
                f"{ours / theirs:.2f} ×",
                *(f"{bytes / 1024:,.0f} KiB" for bytes in (our_peak, their_peak)),
            ]
        )
    yield table

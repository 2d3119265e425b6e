"""The fault bench: each test injects one fault and records what it took to heal.

`make faults` runs all of them and writes the table to docs/explanation/faults.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

MARKER = "<!-- figures -->\n"


@dataclass(frozen=True)
class Figure:
    """One row: `seconds` from the fault's end, or from its begin where it does not end, to the last state seen."""

    area: str
    fault: str
    seconds: float
    requests: int | None
    holds: bool


figures = pytest.StashKey[list[Figure]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-table", type=Path, help="the Markdown file whose table of faults is to be replaced")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[figures] = []


class Healing:
    """Takes a test's figure: `with healing(): …` around what must come about by itself."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.requests: int | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds = time.monotonic() - began


@pytest.fixture
def healing(request: pytest.FixtureRequest) -> Iterator[Healing]:
    healing = Healing()
    yield healing
    assert healing.seconds is not None, "the test took no figure"
    holds = not getattr(request.node, "failed", False)
    area = request.node.path.stem.removeprefix("test_").removesuffix("_faults")
    figure = Figure(area, fault_name(request.node), healing.seconds, healing.requests, holds)
    request.config.stash[figures].append(figure)


def fault_name(node: pytest.Item) -> str:
    """Return a test's name as words: `test_redis_is_killed[x]` is "redis is killed: x"."""
    name, _, parameters = node.name.partition("[")
    words = name.removeprefix("test_").replace("_", " ")
    return f"{words}: {parameters.rstrip(']')}" if parameters else words


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if call.when == "call":
        item.failed = report.failed
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path: Path | None = session.config.getoption("--faults-table")
    if path:
        before = path.read_text().partition(MARKER)[0] if path.exists() else ""
        path.write_text(before + MARKER + "\n" + table(session.config.stash[figures]))


def table(rows: list[Figure]) -> str:
    lines = ["| area | fault | holds | heals in | document requests |", "|---|---|---|---|---|"]
    for row in rows:
        requests = "" if row.requests is None else str(row.requests)
        lines.append(
            f"| {row.area} | {row.fault} | {'yes' if row.holds else 'NO'} | {row.seconds:.2f} s | {requests} |"
        )
    return "\n".join(lines) + "\n"

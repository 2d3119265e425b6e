"""Start children one after the other, watch them, and stop them together."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .child import Child, ChildSpec
from .log import Log

LOOK_EVERY = 0.05  # seconds
UP_WITHIN = 30.0  # seconds
STOP_WITHIN = 3.0  # seconds


class ChildFailed(Exception):
    """A child ended by itself, or never came up."""


class Supervisor:
    """Keep children running until one dies or `stop` is called."""

    def __init__(self, log: Log, environment: dict[str, str], folder: Path) -> None:
        self._log = log
        self._environment = environment
        self._folder = folder
        self._children: list[Child] = []
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `run` return soon."""
        self._stopping.set()

    def run(self, specs: Sequence[ChildSpec], on_up: Callable[[], None]) -> None:
        """Start the children in order and stay until the end; raise `ChildFailed` if one of them caused it."""
        try:
            for spec in specs:
                self._start(spec)
            if not self._stopping.is_set():
                on_up()
            while not self._stopping.wait(LOOK_EVERY):
                self._check()
        finally:
            self._end()

    def _start(self, spec: ChildSpec) -> None:
        if self._stopping.is_set():
            return
        child = Child(spec, self._environment, self._folder)
        child.follow(self._log.write)
        self._children.append(child)
        self._wait_until_up(child)

    def _wait_until_up(self, child: Child) -> None:
        deadline = time.monotonic() + UP_WITHIN
        while not child.spec.is_up():
            self._check()
            if time.monotonic() > deadline:
                raise ChildFailed(_report(child, f"is not up after {UP_WITHIN:g} seconds"))
            if self._stopping.wait(LOOK_EVERY):
                return

    def _check(self) -> None:
        for child in self._children:
            if child.exit_code is not None:
                child.end(patience=0)
                raise ChildFailed(_report(child, f"ended with {_describe(child.exit_code)}"))

    def _end(self) -> None:
        deadline = time.monotonic() + STOP_WITHIN
        for child in reversed(self._children):
            child.terminate()
        for child in self._children:
            child.end(patience=deadline - time.monotonic())


@contextmanager
def on_stop_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on Ctrl-C, SIGTERM and a closed terminal; put the previous handlers back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _describe(exit_code: int) -> str:
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"


def _report(child: Child, problem: str) -> str:
    lines = "\n".join(f"    {line}" for line in child.last_lines)
    return f"{child.spec.name} {problem}. It last said:\n{lines or '    nothing'}"

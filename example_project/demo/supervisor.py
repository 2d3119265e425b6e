"""Start child processes one after the other, watch them, and stop them together."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .child import Child, ChildSpec
from .log import Log

CHECK_SECONDS = 0.05  # between checks of the children
UP_SECONDS = 30.0  # for a child to come up; a slow machine takes a few
STOP_SECONDS = 3.0  # for all children to end; the listener and gunicorn take at most one


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
        """Start the children in order, and return after `stop`; raise `ChildFailed` if a child ends before."""
        try:
            for spec in specs:
                self._start(spec)
            if not self._stopping.is_set():
                on_up()
            while not self._stopping.wait(CHECK_SECONDS):
                self._check()
        finally:
            deadline = time.monotonic() + STOP_SECONDS
            for child in reversed(self._children):
                child.terminate()
            for child in self._children:
                child.end(patience=deadline - time.monotonic())

    def _start(self, spec: ChildSpec) -> None:
        if self._stopping.is_set():
            return
        child = Child(spec, self._environment, self._folder)
        child.pass_output_to(self._log.write)
        self._children.append(child)
        deadline = time.monotonic() + UP_SECONDS
        while not child.spec.is_up():
            self._check()
            if time.monotonic() > deadline:
                raise ChildFailed(_report(child, f"is not up after {UP_SECONDS:g} seconds"))
            if self._stopping.wait(CHECK_SECONDS):
                return

    def _check(self) -> None:
        for child in self._children:
            if child.exit_code is not None:
                child.end(patience=0)
                how = f"signal {-child.exit_code}" if child.exit_code < 0 else f"exit code {child.exit_code}"
                raise ChildFailed(_report(child, f"ended with {how}"))


@contextmanager
def on_stop_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on Ctrl-C, SIGTERM and a closed terminal; restore the previous handlers at the end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _report(child: Child, problem: str) -> str:
    lines = "\n".join(f"    {line}" for line in child.last_lines)
    return f"{child.spec.name} {problem}. Its last output:\n{lines or '    nothing'}"

"""Network namespaces as hosts, joined by a router that is one too. Linux, and root."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

CLONE_NEWNET = 0x4000_0000
Result = TypeVar("Result")


class NotPermitted(Exception):
    """This machine does not let us have network namespaces."""


class Namespace:
    """A network stack of its own. It is gone when this process, and all that it started in there, have ended."""

    def __init__(self) -> None:
        with ThreadPoolExecutor(1) as thread:  # which alone moves into it, and ends
            self._descriptor = thread.submit(_enter_new).result()
        self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"
        self.prefix = ["nsenter", f"--net={self.path}"]

    def call(self, act: Callable[[], Result]) -> Result:
        """Return what a function does in there: a socket that it opens stays in there."""
        with ThreadPoolExecutor(1, initializer=_enter, initargs=[self._descriptor]) as thread:
            return thread.submit(act).result()

    def run(self, *command: str) -> None:
        subprocess.run([*self.prefix, *command], check=True, capture_output=True, text=True)

    def close(self) -> None:
        os.close(self._descriptor)


def _enter_new() -> int:
    _check(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _enter(descriptor: int) -> None:
    _check(ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET))


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Namespaces:
    """Places that reach one another through a router, which drops what goes between two of them on demand."""

    kind = "network namespaces"
    settings: Mapping[str, float] = {}  # that it takes to notice a cut
    ping_seconds = 15.0  # as Flagsmith's

    def __init__(self, *places: str) -> None:
        if missing := [program for program in ("ip", "nsenter") if not shutil.which(program)]:
            raise NotPermitted(f"{' and '.join(missing)} is not installed")
        try:
            self._router = Namespace()
            self._router.call(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
            self._namespaces = {place: self._join(Namespace(), f"10.77.{net}") for net, place in enumerate(places)}
        except OSError as error:
            raise NotPermitted(str(error)) from error
        except subprocess.CalledProcessError as error:
            raise NotPermitted(error.stderr.strip()) from error
        self._hosts = {place: f"10.77.{net}.2" for net, place in enumerate(places)}
        self._ports: dict[str, int] = {}

    def _join(self, namespace: Namespace, net: str) -> Namespace:
        """Lay a cable from a namespace to the router."""
        cable = f"to-{net.rpartition('.')[2]}"
        self._router.run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace.path)
        for end, address, name in ((self._router, f"{net}.1/30", cable), (namespace, f"{net}.2/30", "eth0")):
            end.run("ip", "address", "add", address, "dev", name)
            end.run("ip", "link", "set", name, "up")
        namespace.run("ip", "link", "set", "lo", "up")
        namespace.run("ip", "route", "add", "default", "via", f"{net}.1")
        return namespace

    def prefix(self, place: str) -> list[str]:
        """Return what makes a command run at a place."""
        return self._namespaces[place].prefix

    def call(self, place: str, act: Callable[[str], Result]) -> Result:
        """Return what a function does at a place, given the address that a server there binds."""
        return self._namespaces[place].call(lambda: act(self._hosts[place]))

    def bind(self, place: str) -> str:
        """Return the address that a server at a place binds."""
        return self._hosts[place]

    def expose(self, place: str, port: int) -> None:
        """Let the others reach a server at a place."""
        self._ports[place] = port

    def address(self, place: str, seen_from: str) -> str:
        """Return the host and port of the server at a place."""
        return f"{self._hosts[place]}:{self._ports[place]}"

    @contextmanager
    def cut(self, here: str, there: str) -> Iterator[None]:
        """Drop what goes between two places: nobody is told, no connection is closed."""
        ways = [(self._hosts[here], self._hosts[there]), (self._hosts[there], self._hosts[here])]
        for source, target in ways:
            self._router.run("ip", "rule", "add", "from", source, "to", target, "blackhole")
        try:
            yield
        finally:
            for source, target in ways:
                self._router.run("ip", "rule", "delete", "from", source, "to", target, "blackhole")

    def close(self) -> None:
        for namespace in (*self._namespaces.values(), self._router):
            namespace.close()

"""Real server processes for tests: started on the loopback, awaited, frozen, killed, and ended for sure."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest
import redis

from tests.support.paths import ROOT

STARTED_WITHIN = 10.0  # seconds
ATTEMPTS = 5


def wait_until(condition: Callable[[], Any], what: str = "the condition", timeout: float = 10.0) -> Any:
    """Return the first true answer of `condition`; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come true within {timeout:g} s")
        time.sleep(0.005)
    return answer


def free_port() -> int:
    """Return a port of the loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require(program: str) -> str:
    """Return a program's path. If it is missing, skip the test, or fail it in CI."""
    debian = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))  # which puts no server into the PATH
    path = shutil.which(program, path=os.pathsep.join([*debian, os.environ["PATH"]]))
    return path or miss(program)


def miss(what: str) -> NoReturn:
    """Skip the test for want of something to install, or fail it in CI."""
    reason = f"{what} is not installed (CONTRIBUTING.md names the packages)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def die_with_parent() -> list[str]:
    """Return a prefix for a command that must not outlive a test run that is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


Started = TypeVar("Started", bound="ServerProcess")


class ServerProcess:
    """A child process that serves one port of the loopback; subclasses say which program and when it answers."""

    program: str

    def __init__(self) -> None:
        self.path = require(self.program)
        self.directory = Path(tempfile.mkdtemp(prefix=f"{Path(self.program).name}-"))
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        """Start on a free port; another process may take that first, so try again."""
        for _ in range(ATTEMPTS):
            self.port = free_port()
            if self._launch():
                return
        pytest.fail(f"{self.program} did not start:\n{self.log()}")

    def restart(self) -> None:
        """Start again on the port of before."""
        if not self._launch():
            pytest.fail(f"{self.program} did not start again on port {self.port}:\n{self.log()}")

    def _launch(self) -> bool:
        with (self.directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*die_with_parent(), *self.command()],
                cwd=self.directory,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + STARTED_WITHIN
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.answers() and self.process.poll() is None:
                return True
            time.sleep(0.005)
        self.kill()
        return False

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def ask(self, line: str, end: str = "\r\n") -> str:
        """Return the answer to one line of a text protocol, up to `end`."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(f"{line}\r\n".encode())
            answer = b""
            while not answer.endswith(end.encode()) and (part := connection.recv(65536)):
                answer += part
        return answer.decode()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def freeze(self) -> None:
        """Stop the process as a hung host does: connections stay open, nothing answers."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """End the process at once; the port refuses from then on."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def terminate(self, timeout: float = 10) -> None:
        """Ask the process to end; insist when it does not."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()

    def end(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self: Started) -> Started:
        try:
            self.start()
        except BaseException:  # pytest.fail() raises one
            self.end()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


class PostgresServer(ServerProcess):
    """A database cluster of its own, for the user `postgres` where tests run as root, whom PostgreSQL refuses."""

    program = "postgres"

    def __init__(self) -> None:
        super().__init__()
        self._as_user = (
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        )
        if self._as_user:
            shutil.chown(self.directory, "postgres")
        arguments = ["--auth=trust", "--username=postgres", "--no-sync", f"--pgdata={self.directory / 'data'}"]
        initdb = [*self._as_user, str(Path(self.path).with_name("initdb")), *arguments]
        subprocess.run(initdb, cwd=self.directory, check=True, capture_output=True)

    def command(self) -> list[str]:
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [*self._as_user, self.path, "-D", str(self.directory / "data"), "-p", str(self.port), *settings]

    def answers(self) -> bool:
        ready = [str(Path(self.path).with_name("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def database(self, **options: Any) -> dict[str, Any]:
        """Return an entry of `DATABASES`."""
        place = {"NAME": "postgres", "USER": "postgres", "HOST": "127.0.0.1", "PORT": self.port}
        return {"ENGINE": "django.db.backends.postgresql", **place, "OPTIONS": options}


class RedisServer(ServerProcess):
    """A Redis; `options` are those of its configuration file."""

    program = "redis-server"

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.options = {name.replace("_", "-"): value for name, value in options.items()}

    def command(self) -> list[str]:
        arguments = {"bind": "127.0.0.1", "port": self.port, "save": "", "appendonly": "no", "dir": self.directory}
        arguments |= {"unixsocket": self.directory / "socket", **self.options}
        return [self.path, *(str(part) for key, value in arguments.items() for part in (f"--{key}", value))]

    def answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping() and client.info("server")["tcp_port"] == self.port)
            except redis.RedisError:
                return False

    def client(self, **options: Any) -> redis.Redis:
        """Return a connection of the test's own, to be closed by its `with` block."""
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5, **options)

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def cache(self, **options: Any) -> dict[str, Any]:
        """Return an entry of `CACHES`; `options` go to the client."""
        return {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": self.url(),
            "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1, **options},
        }

    def put_raw(self, key: str, value: bytes) -> None:
        """Store bytes as they are, not as Django's backend writes them."""
        with self.client() as client:
            client.set(f":1:{key}", value)

    def info(self, section: str) -> dict[str, Any]:
        with self.client() as client:
            return dict(client.info(section))

    def commands(self) -> dict[str, int]:
        """Return how often each command was called since the server's counters were reset."""
        found = self.ask("INFO commandstats\r\nQUIT", end="+OK\r\n")
        return {name: int(calls) for name, calls in re.findall(r"^cmdstat_([^:]+):calls=(\d+)", found, re.MULTILINE)}

    def reset(self) -> None:
        for command in ("FLUSHALL", "CONFIG RESETSTAT"):
            assert self.ask(command) == "+OK\r\n"


class MemcachedServer(ServerProcess):
    program = "memcached"

    def command(self) -> list[str]:
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return [self.path, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-m", "16", "-t", "2", *user]

    def answers(self) -> bool:
        try:
            return self.ask("version").startswith("VERSION")
        except OSError:
            return False

    def put_raw(self, key: str, value: bytes) -> None:
        """Store bytes under the mark of a pickled value."""
        assert self.ask(f"set :1:{key} 1 0 {len(value)}\r\n{value.decode('ascii')}") == "STORED\r\n"

    def stats(self) -> dict[str, str]:
        lines = self.ask("stats", end="END\r\n").splitlines()
        return dict(line.split(" ", 2)[1:] for line in lines if line.startswith("STAT "))

    @property
    def location(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cache(self, **options: Any) -> dict[str, Any]:
        """Return an entry of `CACHES`; `options` go to the client."""
        return {
            "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
            "LOCATION": self.location,
            "OPTIONS": {"connect_timeout": 1, "timeout": 1, **options},
        }

    def reset(self) -> None:
        self.ask("flush_all")


def project_environment(setting: Any, cache: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables of a process of a project with these settings."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.support.project.settings",
        "TEST_CACHES": json.dumps({"default": cache}),
        "TEST_FLAGSMITH": json.dumps(setting),
    }


class Command:
    """A `flagsmith_listen` that runs; what it prints goes to a file."""

    def __init__(self, *arguments: str, setting: Any, cache: dict[str, Any], log: Path, **variables: str) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*die_with_parent(), sys.executable, "-m", "django", "flagsmith_listen", *arguments],
                env={**project_environment(setting, cache), **variables},
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.said() or self.process.poll() is not None, what=f"{text!r} in the log")
        assert text in self.said()

    def exit_code(self, timeout: float = 10) -> int:
        return self.process.wait(timeout)

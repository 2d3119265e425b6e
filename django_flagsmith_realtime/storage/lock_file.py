"""A locked file by which the processes of a machine see that the holder of the lease has ended.

A server that dies by the signal, or `kill -9`, leaves no time to release the lease. The system releases its file locks.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: there the lease expires
    fcntl = None  # type: ignore[assignment]

SHARED_MEMORY = "/dev/shm"  # before /tmp: systemd's PrivateTmp gives each service a /tmp that goes when it stops


def _path(token: str) -> Path:
    memory = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else tempfile.gettempdir()
    name = f"flagsmith-{hashlib.sha256(token.encode()).hexdigest()[:16]}.lock"
    return Path(os.environ.get("TMPDIR", memory), name)


class LockFile:
    """Says that the process with this token, "host:pid:…", runs: from `lock` to `remove`, or to its end."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._file: IO[bytes] | None = None

    def lock(self) -> None:
        """Make the file; where that fails, other processes wait for the lease to expire."""
        if fcntl and not self._file:
            with suppress(OSError):
                self._file = _path(self._token).open("xb")
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Remove the file: the lease is released."""
        if self._file:
            with suppress(OSError):
                _path(self._token).unlink()
            self.close()

    def close(self) -> None:
        """Unlock the file and leave it: the lease could not be released."""
        if self._file:
            self._file.close()
        self._file = None


def is_abandoned(token: str) -> bool:
    """Return whether a process of this machine has ended with its file locked; one caller gets the answer True."""
    if not fcntl or token.split(":")[-2:-1] == [str(os.getpid())]:  # a process may lock its own file twice
        return False
    path = _path(token)
    with suppress(OSError), path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        return True
    return False

"""The environment document, kept in a JSON file."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from datetime import datetime, timezone
from pathlib import Path
from types import EllipsisType

from .document import Document, Value, with_flag

RECORDED_DOCUMENT = Path(__file__).with_name("environment_document.json")


class State:
    """Keep the environment document in the file `path`, which begins as a copy of the file `start`."""

    def __init__(self, path: Path, start: Path = RECORDED_DOCUMENT) -> None:
        self._path = path
        self._writing = threading.Lock()
        self.document: Document = json.loads((path if path.exists() else start).read_text("utf-8"))

    def set_flag(self, name: str, *, enabled: bool | None = None, value: Value | EllipsisType = ...) -> bool:
        """Change one flag, first in the file and then in memory; return whether anything changed."""
        with self._writing:
            now = datetime.now(timezone.utc)
            changed = with_flag(self.document, name, enabled=enabled, value=value, now=now)
            if changed is self.document:
                return False
            write_atomically(self._path, json.dumps(changed, indent=2, ensure_ascii=False))
            self.document = changed
            return True


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's text at once: readers, and a process that starts after a crash, find the old or the new text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        file.write(text)
    os.replace(file.name, path)

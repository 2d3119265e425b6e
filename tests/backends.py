"""Real cache backends that note what is asked of them, or fail in ways that real ones do."""

from __future__ import annotations

import threading
import time
from typing import Any, ClassVar

from django.core.cache.backends.locmem import LocMemCache


class RecordingCache(LocMemCache):
    """Notes each operation and its key's last part, in order."""

    operations: ClassVar[list[tuple[str, str]]] = []

    def _note(self, operation: str, key: str) -> None:
        self.operations.append((operation, "payload" if ":payload:" in key else key.rpartition(":")[2]))

    def get(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        self._note("get", key)
        return super().get(key, *args, **kwargs)

    def set(self, key: Any, *args: Any, **kwargs: Any) -> None:
        self._note("set", key)
        super().set(key, *args, **kwargs)

    def touch(self, key: Any, *args: Any, **kwargs: Any) -> bool:
        self._note("touch", key)
        return super().touch(key, *args, **kwargs)


class ForgetfulCache(LocMemCache):
    """Stores nothing and says nothing, as `DatabaseCache` does on a locked SQLite."""

    def set(self, *args: Any, **kwargs: Any) -> None:
        pass


class HangingCache(LocMemCache):
    """Answers only while `open` is set, and fails like a client that timed out."""

    open: ClassVar[threading.Event] = threading.Event()
    asked: ClassVar[list[str]] = []
    timeout: ClassVar[float] = 5.0

    def get(self, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(threading.current_thread().name)
        if not self.open.wait(self.timeout):
            raise TimeoutError("timed out")
        return super().get(*args, **kwargs)


class DatabaseCacheRouter:
    """Sends `DatabaseCache` to the database of its own that the tests give it."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "cache" if model._meta.app_label == "django_cache" else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return db == "cache" if app_label == "django_cache" else None


def use(settings: Any, backend: str, **options: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": f"test-{time.monotonic_ns()}", **options}}

"""Real cache backends that note what is asked of them, or fail in ways that real ones do."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any, ClassVar

from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

from tests.support.receivers import die_before


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

    def add(self, key: Any, *args: Any, **kwargs: Any) -> bool:
        self._note("add", key)
        return super().add(key, *args, **kwargs)

    def touch(self, key: Any, *args: Any, **kwargs: Any) -> bool:
        self._note("touch", key)
        return super().touch(key, *args, **kwargs)


class FatalCache(RedisCache):
    """Ends its process before the write that `TEST_DIE_BEFORE` names, as "2 touch payload" the second of its kind."""

    writes: ClassVar[Counter[str]] = Counter()

    def _write(self, operation: str, key: str) -> None:
        name = f"{operation} {'payload' if ':payload:' in key else key.rpartition(':')[2]}"
        self.writes[name] += 1
        die_before(f"{self.writes[name]} {name}")

    def set(self, key: Any, *args: Any, **kwargs: Any) -> None:
        self._write("set", key)
        super().set(key, *args, **kwargs)

    def add(self, key: Any, *args: Any, **kwargs: Any) -> bool:
        self._write("add", key)
        return bool(super().add(key, *args, **kwargs))

    def touch(self, key: Any, *args: Any, **kwargs: Any) -> bool:
        self._write("touch", key)
        return bool(super().touch(key, *args, **kwargs))


class ForgetfulCache(LocMemCache):
    """Stores nothing and says nothing, as `DatabaseCache` does on a locked SQLite."""

    def set(self, *args: Any, **kwargs: Any) -> None:
        pass

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return False


class LaggingCache(LocMemCache):
    """Reads a moment later what was written, as from a replica."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lag: dict[str, tuple[Any, int]] = {}  # what is still read, and how often

    def set(self, key: Any, *args: Any, **kwargs: Any) -> None:
        self._lag[key] = super().get(key), 2
        super().set(key, *args, **kwargs)

    def add(self, key: Any, *args: Any, **kwargs: Any) -> bool:
        self._lag[key] = super().get(key), 2
        return super().add(key, *args, **kwargs)

    def get(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        value, times = self._lag.get(key, (None, 0))
        if not times:
            return super().get(key, *args, **kwargs)
        self._lag[key] = value, times - 1
        return value


class SharedCache(BaseCache):
    """Passes for a cache that processes share, without a server: nobody can tell that it is local memory."""

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        memory = LocMemCache(name, params)
        self.get, self.set, self.add, self.touch = memory.get, memory.set, memory.add, memory.touch
        self.delete = memory.delete


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


class BrokenCache(LocMemCache):
    """Fails, and can't even be closed."""

    def get(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("the connection broke")

    def close(self, **kwargs: Any) -> None:
        raise ConnectionError("there is none to close")


class DatabaseCacheRouter:
    """Sends `DatabaseCache` to the database of its own that the tests give it."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "cache" if model._meta.app_label == "django_cache" else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return db == "cache" if app_label == "django_cache" else None


def use(settings: Any, backend: str, **options: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": f"test-{time.monotonic_ns()}", **options}}


class SmallCache(LocMemCache):
    """Refuses what is larger than its limit, as memcached does."""

    limit = 1_000_000
    refused = 0

    def _check(self, key: str, value: Any) -> None:
        if ":payload:" in key and len(value) > self.limit:
            SmallCache.refused += 1
            raise ValueError("object too large for cache")

    def add(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> bool:
        self._check(key, value)
        return bool(super().add(key, value, *args, **kwargs))

    def set(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> None:
        self._check(key, value)
        super().set(key, value, *args, **kwargs)

"""Documents for tests: the recorded one, edited."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from functools import cache
from typing import Any

from django.http import HttpRequest

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.environment.snapshot import Document, Head, Snapshot, parse_document
from django_flagsmith_realtime.storage.cache import SCHEMA
from django_flagsmith_realtime.storage.store import Store
from tests.support import recordings

RECORDED: dict[str, Any] = recordings.document()
STATES = {state["feature"]["name"]: state for state in RECORDED["feature_states"]}
FIRST: str = STATES["banner_text"]["feature_state_value"]  # what a new stand-in serves


def make_document(updated_at: str | None = None, **flags: Any) -> Document:
    """Return the recorded document with flags set: a bool switches one, anything else is its value."""
    made = _make_document(updated_at or RECORDED["updated_at"], json.dumps(flags))
    return replace(made, asked_at=time.time_ns() // 1_000)


@cache
def _make_document(updated_at: str, encoded_flags: str) -> Document:
    flags = json.loads(encoded_flags)
    body = recordings.document()
    body["updated_at"] = updated_at
    for state in body["feature_states"]:
        if (name := state["feature"]["name"]) in flags:
            state["enabled" if isinstance(flags[name], bool) else "feature_state_value"] = flags[name]
    assert flags.keys() <= STATES.keys()
    return parse_document(body)


_stores: list[Store] = []


def configured_store() -> Store:
    """Return what a listener in a process of its own would write with; it is closed when the test ends."""
    _stores.append(Store(get_config().cache, get_config().namespace))
    return _stores[-1]


def close_stores() -> None:
    while _stores:
        _stores.pop().close()


def publish(**flags: Any) -> Snapshot:
    """Publish the recorded document with some flags set, as another process does."""
    store = configured_store()
    return store.publish(make_document(**flags), after=store.read_head())


def pin(request: HttpRequest) -> None:
    """Let a request see from now on what is published now."""
    assert get_flags(request).snapshot


KEY = "ser.tests"
PREFIX = f"flagsmith:{SCHEMA}:{hashlib.sha256(KEY.encode()).hexdigest()[:16]}"
HEAD = f"{PREFIX}:head"
LEASE = f"{PREFIX}:lease"


def payload_key(snapshot: Snapshot | Head) -> str:
    return f"{PREFIX}:payload:{snapshot.sequence}"


def banner(snapshot: Snapshot | None) -> Any:
    return snapshot.environment.flags["banner_text"].value if snapshot else None

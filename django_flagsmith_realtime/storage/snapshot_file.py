"""The last known good document in a file: written by the listener, read where the cache holds nothing."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from ..conf import DEFAULTS
from ..environment.defaults import default_flag
from ..environment.snapshot import Document, Head, Snapshot, parse_document
from ..environment.timestamps import to_datetime
from ..exceptions import InvalidDocument, SnapshotFileError

EXAMPLE = '{"flags": {"new_checkout": true, "banner": "Welcome"}}'
NOTES = ("id", "reason", "variant")  # what our commands and Flagsmith's clients say of a flag besides
SEQUENCE = 0  # lower than in the cache, where it is a time in milliseconds
SHARED_DIRECTORY = stat.S_ISGID | stat.S_IWGRP


def write_snapshot_file(path: Path, snapshot: Snapshot) -> None:
    """Replace the file atomically: a reader sees the old or the new one. Raise `SnapshotFileError`.

    Its owner may read it, and its group where the directory is setgid or group-writable: the flags hold personal data.
    """
    document = {"updated_at": to_datetime(snapshot.head.updated_at).isoformat(), **snapshot.environment.document}
    try:
        mode = 0o640 if path.parent.stat().st_mode & SHARED_DIRECTORY else 0o600
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogatepass") as file:
                json.dump(document, file, indent=1, ensure_ascii=False)
                file.flush()
                os.fsync(descriptor)
            os.chmod(temporary, mode)  # not fchmod, which Windows has from Python 3.13 on
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise SnapshotFileError(
            f"FLAGSMITH['SNAPSHOT_FILE'] can't be written: {path}: {error.strerror}. "
            "Make its directory writable for the listener."
        ) from error


def read_snapshot_file(path: Path) -> Document:
    """Return the document in the file; raise `SnapshotFileError` where it is missing or isn't one."""
    try:
        return parse_document(_expand(json.loads(path.read_bytes()), path.name))
    except FileNotFoundError as error:
        raise SnapshotFileError(
            f"FLAGSMITH['SNAPSHOT_FILE'] doesn't exist: {path}. To write one by hand, begin with {EXAMPLE}."
        ) from error
    except OSError as error:
        raise SnapshotFileError(f"FLAGSMITH['SNAPSHOT_FILE'] can't be read: {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise SnapshotFileError(f"FLAGSMITH['SNAPSHOT_FILE'] isn't JSON: {path}: {error}.") from error
    except InvalidDocument as error:
        raise SnapshotFileError(
            f"FLAGSMITH['SNAPSHOT_FILE'] isn't an environment document: {path}: {error.detail} "
            f"To write one by hand, begin with {EXAMPLE}."
        ) from error


def _expand(body: Any, name: str) -> Any:
    """Return the environment document for flags in another form that people have at hand.

    {"flags": {…}} as written by hand, by `flags_json` and by Flagsmith's clients; {NAME: {"enabled": …}} as
    `flagsmith_flags --json` writes them; and the list that `GET flags/` answers, also in the answer of
    `GET identities/`.
    """
    states = body if isinstance(body, list) and body else None
    if isinstance(body, dict) and "feature_states" not in body:
        flags = body.get("flags", body if body and all(map(_is_state, body.values())) else None)
        if flags is None:
            return body
        if isinstance(flags, list) and flags:
            return _expand(flags, name)
        if isinstance(flags, dict):
            flags = {each: _without_notes(form) if _is_state(form) else form for each, form in flags.items()}
        if not DEFAULTS.accepts(flags):
            raise InvalidDocument(f"flags isn't {DEFAULTS.words}.")
        states = [
            {
                "feature": {"id": number, "name": flag.feature_name},
                "enabled": flag.enabled,
                "feature_state_value": flag.value,
            }
            for number, flag in enumerate(default_flag(*item) for item in flags.items())
        ]
    if states is None:
        return body
    return {"api_key": "", "name": name, "project": {"segments": []}, "feature_states": states}


def _is_state(form: object) -> bool:
    return isinstance(form, dict) and isinstance(form.get("enabled"), bool)


def _without_notes(form: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in form.items() if key not in NOTES}


def signature(path: Path) -> tuple[int, ...] | None:
    """Return what changes whenever a file is written or replaced; None where there is none to see."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def load_snapshot(path: Path) -> Snapshot:
    """Return the file's content as a snapshot older than any in the cache; raise `SnapshotFileError`."""
    document = read_snapshot_file(path)
    try:
        published_at = path.stat().st_mtime_ns // 1_000
    except OSError:  # removed since
        published_at = document.updated_at
    head = Head(SEQUENCE, document.environment.version, document.updated_at, published_at, document.updated_at)
    return Snapshot(head, document.environment)

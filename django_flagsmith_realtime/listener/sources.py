"""Where environment documents come from: Flagsmith's API, or a file that a developer edits in its place."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.parse import urljoin

import requests

from ..environment.snapshot import Document, parse_document
from ..exceptions import FlagsmithError, InvalidDocument, RedirectRefused, TimedOut, TooLarge
from ..storage.snapshot_file import read_snapshot_file
from .http import CONNECT_SECONDS, TRANSPORT_ERRORS, InterruptibleSession, describe, origin, refuse_status

MAX_BYTES = 32 * 1024 * 1024  # of a document, all its pages together, unpacked
MAX_PAGES = 1_000
MAX_REDIRECTS = 5
CHUNK = 64 * 1024
SETTING = "FLAGSMITH['API_URL']"
KEY_REMEDY = (
    "check FLAGSMITH['ENVIRONMENT_KEY']. The server-side keys are in Flagsmith under your environment's SDK Keys; "
    'they start with "ser.".'
)


class Source(Protocol):
    """A place that documents come from, and what the rest of the listener must know of it."""

    setting: ClassVar[str]  # that names the place
    interval: ClassVar[float | None]  # seconds between fetches; None: as often as POLL_INTERVAL and the stream say
    is_billed: ClassVar[bool]  # Flagsmith bills each fetch: they are counted, and those that bring nothing are rationed
    may_be_behind: ClassVar[bool]  # a cache on the way may serve an older body for a while
    has_fixed_environment: ClassVar[bool]  # a document of another environment is a mistake

    def fetch(self) -> Document:
        """Return the document; raise `FlagsmithError`."""
        ...

    def close(self) -> None:
        """End a fetch under way, and all to come."""
        ...


class ApiSource(Source):
    """`GET {api_url}environment-document/`, the whole of it within `timeout` seconds.

    `fetch` raises `HttpError` or `InvalidDocument`, and nothing else.
    """

    setting = SETTING
    interval = None
    is_billed = True
    may_be_behind = True
    has_fixed_environment = True

    def __init__(self, *, api_url: str, environment_key: str, timeout: float, headers: Mapping[str, str]) -> None:
        self._url = urljoin(api_url, "environment-document/")
        self._timeout = timeout
        self._session = InterruptibleSession(
            {"Accept": "application/json", "Accept-Encoding": "gzip", **headers, "X-Environment-Key": environment_key}
        )

    def fetch(self) -> Document:
        """Fetch the document, all pages of it."""
        began = time.monotonic()
        with self._session.within(self._timeout) as passed:
            failure: FlagsmithError
            try:
                return self._fetch()
            except TRANSPORT_ERRORS as error:
                failure = describe(error, self._url, SETTING)
            except FlagsmithError as error:
                failure = error
        if passed.is_set() or time.monotonic() - began >= self._timeout:
            failure = TimedOut(f"Flagsmith did not answer within {self._timeout:g} s (FLAGSMITH['REQUEST_TIMEOUT']).")
        raise failure from None  # what it was made from holds URLs and headers

    def close(self) -> None:
        self._session.interrupt()
        self._session.close()

    def _fetch(self) -> Document:
        url: str | None = self._url
        document: dict[str, Any] = {}
        budget = MAX_BYTES
        for _ in range(MAX_PAGES):
            if url is None:
                return parse_document(document)
            with self._get(url) as response:
                body = _read_body(response, budget)
                url = _next_page(response)
            budget -= len(body)
            document = _merge(document, _parse(body))
        raise TooLarge(f"Flagsmith's document has more than {MAX_PAGES} pages.")

    def _get(self, url: str) -> requests.Response:
        """Follow redirects within the origin: requests would carry the environment key to any other."""
        patience = min(self._timeout, CONNECT_SECONDS), self._timeout
        for _ in range(MAX_REDIRECTS):
            response = self._session.get(url, timeout=patience, stream=True, allow_redirects=False)
            if response.status_code == 200:
                return response
            with response:
                if not response.is_redirect:
                    refuse_status(response, f"{SETTING}; it usually ends in /api/v1/", KEY_REMEDY)
                url = _same_origin(url, response.headers["Location"])
        raise RedirectRefused("Flagsmith's API redirects in a circle: check FLAGSMITH['API_URL'].")


class FileSource(Source):
    """A file that a developer edits: each new content is dated when it is first read."""

    setting = "FLAGSMITH['SNAPSHOT_FILE']"
    interval = 0.5  # an edit is live before its author has switched to the browser; a look is one `stat`
    is_billed = False
    may_be_behind = False
    has_fixed_environment = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._signature: tuple[int, ...] | None = None
        self._document: Document | None = None

    def fetch(self) -> Document:
        """Read the file unless it is as it was; raise `SnapshotFileError`."""
        try:
            status = self._path.stat()
            signature = status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
        except OSError:
            signature = None  # reading it says why
        if self._document is None or signature != self._signature:
            read = read_snapshot_file(self._path)
            self._document = Document(read.environment, time.time_ns() // 1_000, realtime_enabled=True)
            self._signature = signature
        return self._document

    def close(self) -> None: ...


def _same_origin(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        scheme, host, port = origin(target)
    except ValueError as error:
        raise RedirectRefused("Flagsmith's API redirects to an address that is none.") from error
    if (scheme, host, port) != origin(url):
        raise RedirectRefused(
            f"Flagsmith's API redirects to {scheme}://{host}:{port}, where the environment key must not follow. "
            "If that is right, set FLAGSMITH['API_URL'] to it."
        )
    return target


def _read_body(response: requests.Response, budget: int) -> bytes:
    body = bytearray()
    while chunk := response.raw.read1(CHUNK, decode_content=True):
        body += chunk
        if len(body) > budget:
            raise TooLarge(f"Flagsmith's document is larger than {MAX_BYTES // 2**20} MiB.")
    return bytes(body)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError) as error:
        shown = "an empty body" if not body else "HTML" if body.lstrip()[:1] == b"<" else "broken JSON"
        raise InvalidDocument(
            f"Flagsmith's API answered with {shown} instead of a document: check FLAGSMITH['API_URL']."
        ) from error
    if not isinstance(page, dict):
        shown = "null" if page is None else type(page).__name__
        raise InvalidDocument(f"Flagsmith's answer is no environment document but a JSON {shown}.")
    return page


def _merge(document: dict[str, Any], page: dict[str, Any]) -> dict[str, Any]:
    """Add a page: only its identity overrides differ from the first's."""
    overrides = [*_overrides(document), *_overrides(page)]
    return {**(document or page), **({"identity_overrides": overrides} if overrides else {})}


def _overrides(page: dict[str, Any]) -> list[Any]:
    overrides = page.get("identity_overrides")
    if overrides is None:
        return []
    if not isinstance(overrides, list):
        raise InvalidDocument("Flagsmith's answer is no environment document: identity_overrides is no list.")
    return overrides


def _next_page(response: requests.Response) -> str | None:
    link = response.links.get("next", {}).get("url")
    return _same_origin(response.url, link) if link else None

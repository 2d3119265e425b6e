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
from ..storage.snapshot_file import read_snapshot_file, signature
from .http import CONNECT_SECONDS, TRANSPORT_ERRORS, InterruptibleSession, check_status, describe, origin

# Unpacked, with all pages: a gzip bomb must not end the process. Flagsmith's document of 22 flags has 12 kB, so this is
# room for tens of thousands.
MAX_BYTES = 32 * 1024 * 1024
MAX_PAGES = 1_000  # Flagsmith's have 1 MB each, so only links that go round in a circle come so far
MAX_REDIRECTS = 5  # a gateway needs one or two: to https, to a path with a slash at its end
CHUNK = 64 * 1024  # bytes
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
        url = self._url
        document: dict[str, Any] = {}
        overrides: list[Any] = []
        budget = MAX_BYTES
        for _ in range(MAX_PAGES):
            with self._get(url) as response:
                body = bytearray()
                while chunk := response.raw.read1(CHUNK, decode_content=True):
                    body += chunk
                    if len(body) > budget:
                        raise TooLarge(f"Flagsmith's document is larger than {MAX_BYTES // 2**20} MiB.")
                next_url = response.links.get("next", {}).get("url")
                url = _same_origin(response.url, next_url) if next_url else ""
            budget -= len(body)
            page = _parse_page(bytes(body))
            document = document or page
            if page_overrides := page.get("identity_overrides"):  # nothing else differs from page to page
                overrides += page_overrides
                document = {**document, "identity_overrides": overrides}
            if not url:
                return parse_document(document)
        raise TooLarge(f"Flagsmith's document has more than {MAX_PAGES} pages.")

    def _get(self, url: str) -> requests.Response:
        """Follow redirects within the origin: requests would carry the environment key to any other."""
        timeout = min(self._timeout, CONNECT_SECONDS), self._timeout
        for _ in range(MAX_REDIRECTS):
            response = self._session.get(url, timeout=timeout, stream=True, allow_redirects=False)
            if response.status_code == 200:
                return response
            with response:
                if not response.is_redirect:
                    check_status(response, f"{SETTING}; it usually ends in /api/v1/", KEY_REMEDY)
                url = _same_origin(url, response.headers["Location"])
        raise RedirectRefused(f"Flagsmith's API redirects in a circle: check {SETTING}.")


def _same_origin(url: str, location: str) -> str:
    """Return where a redirect or a link leads; raise `RedirectRefused` for another origin."""
    try:
        target = urljoin(url, location)
        scheme, host, port = origin(target)
    except ValueError as error:
        raise RedirectRefused("Flagsmith's API redirects to an address that is none.") from error
    if (scheme, host, port) != origin(url):
        raise RedirectRefused(
            f"Flagsmith's API redirects to {scheme}://{host}:{port}, where the environment key must not follow. "
            f"If that is right, set {SETTING} to it."
        )
    return target


def _parse_page(body: bytes) -> dict[str, Any]:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError) as error:
        shown = "an empty body" if not body else "HTML" if body.lstrip()[:1] == b"<" else "broken JSON"
        raise InvalidDocument(f"it is {shown}. Check {SETTING}.") from error
    if not isinstance(page, dict):
        shown = "null" if page is None else type(page).__name__
        raise InvalidDocument(f"it is a JSON {shown}.")
    if not isinstance(page.get("identity_overrides"), (list, type(None))):
        raise InvalidDocument("identity_overrides isn't a list.")
    return page


class FileSource(Source):
    """A file that a developer edits: each new content is dated when it is first read."""

    setting = "FLAGSMITH['SNAPSHOT_FILE']"
    interval = 0.5  # an edit is live before its author has switched to the browser; it costs one `stat`
    is_billed = False
    may_be_behind = False
    has_fixed_environment = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._signature: tuple[int, ...] | None = None
        self._document: Document | None = None

    def fetch(self) -> Document:
        """Read the file unless it is as it was; raise `SnapshotFileError`."""
        found = signature(self._path)
        if self._document is None or found != self._signature:
            read = read_snapshot_file(self._path)
            self._document = Document(read.environment, time.time_ns() // 1_000, realtime_enabled=True)
            self._signature = found
        return self._document

    def close(self) -> None: ...

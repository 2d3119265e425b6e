"""Where environment documents come from: Flagsmith's API, or a file that a developer edits in its place."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.parse import urljoin

from ..compat import gettext_noop
from ..environment.snapshot import Document, parse_document
from ..exceptions import FlagsmithError, InvalidDocument, TooLarge
from ..storage.snapshot_file import read_snapshot_file, signature
from ..storage.status import FLAGSMITH
from .http import TRANSPORT_ERRORS, HttpClient, check_status, describe, differ_by_slash

# Unpacked, with all pages: a gzip bomb must not end the process. Flagsmith's document of 22 flags has 12 kB, so this is
# room for tens of thousands.
MAX_BYTES = 32 * 1024 * 1024
MAX_PAGES = 1_000  # Flagsmith's have 1 MB each, so only links that go round in a circle come so far
CHUNK = 64 * 1024  # bytes
SETTING = "FLAGSMITH['API_URL']"
KEY_REMEDY = (
    "check FLAGSMITH['ENVIRONMENT_KEY']. The server-side keys are in Flagsmith under your environment's SDK Keys; "
    'they start with "ser.".'
)


class Source(Protocol):
    """A place that documents come from, named by `setting`, and for a person by `origin`.

    `interval` is the seconds between fetches, None for as often as POLL_INTERVAL and the stream say. Flagsmith
    (`is_flagsmith`) bills each fetch, may answer with an older document for a while, and with another environment only
    by a mistake.
    """

    setting: ClassVar[str]
    origin: ClassVar[str]
    interval: ClassVar[float | None]
    is_flagsmith: ClassVar[bool]

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
    origin = FLAGSMITH
    interval = None
    is_flagsmith = True

    def __init__(self, *, api_url: str, environment_key: str, timeout: float, headers: Mapping[str, str]) -> None:
        self._url = urljoin(api_url, "environment-document/")
        self._timeout = timeout
        self._client = HttpClient(
            {"Accept": "application/json", "Accept-Encoding": "gzip", **headers, "X-Environment-Key": environment_key},
            setting=SETTING,
        )

    def fetch(self) -> Document:
        """Fetch the document, all pages of it."""
        try:
            with self._client.within(self._timeout, " (FLAGSMITH['REQUEST_TIMEOUT'])"):
                return self._fetch()
        except TRANSPORT_ERRORS as error:
            raise describe(error, self._url, SETTING) from None
        except FlagsmithError as error:
            raise error from None  # what it was made from holds URLs and headers

    def close(self) -> None:
        self._client.close()

    def _fetch(self) -> Document:
        url = self._url
        document: dict[str, Any] = {}
        overrides: list[Any] = []
        budget = MAX_BYTES
        for _ in range(MAX_PAGES):
            with self._client.get(url, timeout=self._timeout) as response:
                check_status(response, f"{SETTING}; it usually ends in /api/v1/", KEY_REMEDY)
                if differ_by_slash(response.url, self._url):  # the Edge Proxy's route has none at its end
                    self._url = response.url
                body = bytearray()
                while chunk := response.raw.read1(CHUNK, decode_content=True):
                    body += chunk
                    if len(body) > budget:
                        raise TooLarge(f"Flagsmith's document is larger than {MAX_BYTES // 2**20} MiB.")
                next_url = response.links.get("next", {}).get("url")
                url = self._client.resolve(response.url, next_url) if next_url else ""
            budget -= len(body)
            page = _parse_page(bytes(body))
            document = document or page
            if page_overrides := page.get("identity_overrides"):  # nothing else differs from page to page
                overrides += page_overrides
                document = {**document, "identity_overrides": overrides}
            if not url:
                return parse_document(document)
        raise TooLarge(f"Flagsmith's document has more than {MAX_PAGES} pages.")


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
    origin = gettext_noop("the snapshot file")
    interval = 0.5  # an edit is live before its author has switched to the browser; it costs one `stat`
    is_flagsmith = False

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

"""The errors of this package, one type for each kind of failure."""

from __future__ import annotations


class FlagsmithError(Exception):
    """Base of this package's errors; the message is meant for a person."""


class UnknownFlag(FlagsmithError, LookupError):
    """A flag that neither Flagsmith nor `DEFAULTS` knows was read while `STRICT` is on."""


class InvalidIdentity(FlagsmithError, TypeError):
    """`IDENTITY` returned something that isn't an `Identity`."""


class ServerSideOnly(FlagsmithError):
    """A flag that is marked as server-side only was about to go to a browser."""


class StoreError(FlagsmithError):
    """The cache failed, or did not keep what was written to it."""


class Overtaken(FlagsmithError):
    """Another process published meanwhile. Only Flagsmith knows which is newer, so the writer fetches again."""


class HttpError(FlagsmithError):
    """A request to Flagsmith failed; `retry_after` is the seconds that the server asked to wait, if it did."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(HttpError):
    """Flagsmith couldn't be reached, or the connection broke: DNS, TLS, refused, reset."""


class TimedOut(HttpError):
    """The answer didn't come, or didn't end, in time."""


class Refused(HttpError):
    """Flagsmith refused the key (403), or a gateway did (401, 407)."""


class NotFound(HttpError):
    """The endpoint doesn't exist (404, 410): usually the URL in the settings is wrong."""


class RateLimited(HttpError):
    """Too many requests (429)."""


class ServerError(HttpError):
    """The server failed (5xx)."""


class UnexpectedAnswer(HttpError):
    """A status or a content type that Flagsmith doesn't send."""


class RedirectRefused(HttpError):
    """A redirect leads to another origin, or there were too many."""


class TooLarge(HttpError):
    """The answer is larger than a document can be."""


class InvalidDocument(FlagsmithError):
    """What Flagsmith answered isn't an environment document; `detail` says where: "feature_states is missing."."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"Flagsmith's answer isn't an environment document: {detail}")
        self.detail = detail


class SnapshotFileError(FlagsmithError):
    """The file of `SNAPSHOT_FILE` can't be read or written."""


class WrongEnvironment(FlagsmithError):
    """The document belongs to another environment than the one published before."""

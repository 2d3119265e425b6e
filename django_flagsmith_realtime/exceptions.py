"""What can go wrong, one type for each way."""

from __future__ import annotations


class FlagsmithError(Exception):
    """Base of this package's errors; its message is meant for a person."""


class UnknownFlag(FlagsmithError, LookupError):
    """A flag that neither Flagsmith nor `DEFAULTS` knows was read while `STRICT` is on."""


class InvalidIdentity(FlagsmithError, TypeError):
    """`IDENTITY` returned something that is no `Identity`."""


class ServerSideOnly(FlagsmithError):
    """A flag that Flagsmith gives to nobody but a server was to go to a browser."""


class StoreError(FlagsmithError):
    """The cache did not keep what was written to it."""


class Overtaken(FlagsmithError):
    """Somebody else wrote to the cache: only Flagsmith knows which of the two is newer."""


class HttpError(FlagsmithError):
    """An exchange with Flagsmith failed.

    `retry_after` is the number of seconds that the server asked to wait, if it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(HttpError):
    """No connection, or one that broke: DNS, TLS, refused, reset."""


class TimedOut(HttpError):
    """The answer did not come, or did not end, in time."""


class Refused(HttpError):
    """Flagsmith refused the key (403), or a gateway did (401, 407)."""


class NotFound(HttpError):
    """There is no such endpoint (404, 410): usually a wrong URL in the settings."""


class RateLimited(HttpError):
    """Too many requests (429)."""


class ServerError(HttpError):
    """The server failed (5xx)."""


class UnexpectedAnswer(HttpError):
    """A status or content type that Flagsmith does not send here."""


class RedirectRefused(HttpError):
    """A redirect to another origin, or one too many."""


class TooLarge(HttpError):
    """The answer is larger than any environment's document."""


class InvalidDocument(FlagsmithError):
    """What Flagsmith answered isn't an environment document; `detail` says where: "feature_states is missing."."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"Flagsmith's answer isn't an environment document: {detail}")
        self.detail = detail


class WrongEnvironment(FlagsmithError):
    """The document is that of another environment than the one published before."""

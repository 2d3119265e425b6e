"""What a browser may see of the flags: those that `BROWSER_FLAGS` names."""

from __future__ import annotations

from django.http import HttpRequest
from flagsmith.models import Flag

from ..conf import get_read_config
from ..reading.flags import Flags
from ..reading.rendering import report_refusal, server_side_only
from ..reading.scope import request_flags

REFUSAL = (
    "FLAGSMITH['BROWSER_FLAGS'] names %r, which no browser gets: Flagsmith marks it as server-side only. "
    "Take its name out of BROWSER_FLAGS, or the mark off the feature in Flagsmith."
)
RETRY_SECONDS = "2"  # a leader puts back within this time what a cache has lost


async def session_flags(request: HttpRequest) -> Flags:
    """Return the flags of the identity that `IDENTITY` returns for a request, as they are published now.

    Not as the request has pinned them: a page asks because it was notified of newer ones, and would keep the older
    ones until the next change.
    """
    return await request_flags(request).alatest()


def visible_names(flags: Flags) -> list[str]:
    """Return the names of the flags that a browser may see, sorted.

    These are the flags in `BROWSER_FLAGS` that Flagsmith or `DEFAULTS` knows, and that Flagsmith does not mark as
    server-side only. "all" are those that Flagsmith knows: a default has no mark.
    """
    config, hidden = get_read_config(), server_side_only(flags)
    names = set(flags)
    if config.browser_flags != "all":
        names = (names | config.defaults.keys()) & set(config.browser_flags)
        for name in names & hidden:
            report_refusal(REFUSAL, name)
    return sorted(names - hidden)


def visible_flags(flags: Flags) -> dict[str, Flag]:
    """Return the flags that a browser may see, by name. Observers are not notified: a page may use none of them."""
    flags.evaluate_all()
    return {name: flags.find(name) for name in visible_names(flags)}


def has_flags(flags: Flags) -> bool:
    """Tell whether there are flags yet: a snapshot, or what a test sets."""
    return flags.snapshot is not None or bool(flags)

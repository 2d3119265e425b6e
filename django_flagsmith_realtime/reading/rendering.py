"""What Django's template tags and Jinja2's share: which request they are rendered for, and what a page shows."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from typing import Any, Protocol

from django.conf import settings
from django.http import HttpRequest
from django.utils.html import json_script
from django.utils.safestring import SafeString

from ..conf import get_read_config
from ..exceptions import ServerSideOnly
from .flags import Flags, flag_name

logger = logging.getLogger(__name__)

REFUSAL = (
    "flags_json leaves out %r: Flagsmith marks it as server-side only, and anybody can read a page. "
    "Take its name out of the template, or the mark off the feature in Flagsmith."
)

STATE_ID = "flagsmith-state"


class Context(Protocol):
    def get(self, key: str, /) -> Any: ...


def request_of(context: Context) -> HttpRequest | None:
    """Return the request that a template is rendered for; None where there is none."""
    request = getattr(context, "request", None) or context.get("request")
    return request if hasattr(request, "META") else None


def state_script(flags: Flags, names: Iterable[str], id: str) -> SafeString:
    """Return the named flags as JSON in a `<script>` that no content security policy blocks, as it is no code."""
    return json_script(client_state(flags, map(flag_name, names)), id)


def client_state(flags: Flags, names: Iterable[str]) -> dict[str, Any]:
    """Return the named flags, and nothing else, as the `state` that Flagsmith's JavaScript client starts with.

    A flag that Flagsmith marks as server-side only is left out and reported; while `DEBUG` or `STRICT` is on, raise
    `ServerSideOnly`.
    """
    refused = server_side_only(flags)
    state: dict[str, Any] = {}
    for name in names:
        if name not in refused:
            flag = flags.get_flag(name)
            key = client_name(name)
            state[key] = {"id": flag.feature_id} if flag.feature_id else {}  # a default has none
            state[key] |= {"enabled": flag.enabled, "value": flag.value}
        elif settings.DEBUG or get_read_config().strict:
            raise ServerSideOnly(REFUSAL % name)
        else:
            report_refusal(REFUSAL, name)
    return {"flags": state}


def client_name(name: str) -> str:
    """Return a flag's name as Flagsmith's client for JavaScript spells it."""
    return name.lower().replace(" ", "_")


def server_side_only(flags: Flags) -> frozenset[str]:
    """Return the names of the flags that Flagsmith marks as server-side only: they never go to a browser."""
    return flags.snapshot.environment.server_key_only if flags.snapshot else frozenset()


@cache
def report_refusal(message: str, name: str) -> None:
    """Log once that a flag is not sent to browsers."""
    logger.error(message, name)

"""The part of Flagsmith's API that its clients for browsers ask: https://docs.flagsmith.com/integrating-with-flagsmith/sdks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from flagsmith.models import Flag

from ..conf import get_read_config
from ..reading.flags import Flags
from ..reading.rendering import client_name
from ..reading.usage import usage_counter
from .endpoint import endpoint, parse_json
from .visible import RETRY_SECONDS, has_flags, session_flags, visible_flags, visible_names

# Of a flag in a post. Flagsmith's client posts every 10 s: a page that reads a flag for each frame comes to 600. What
# anybody may send must not spoil the figures by a single request.
MAX_READS = 1_000
SCALAR = (bool, int, float, str, type(None))


@endpoint("GET", "HEAD")
async def flags(request: HttpRequest, body: bytes) -> HttpResponse:
    """Answer `GET flags/`: a list, or one flag for `?feature=name`."""
    return _answer(request, await session_flags(request))


@endpoint("GET", "HEAD", "POST")
async def identities(request: HttpRequest, body: bytes) -> HttpResponse:
    """Answer `GET identities/?identifier=…` and `POST identities/` with the flags of the *session's* identity.

    The identifier and the traits that were sent change no flag. They are sent back, and no others: Flagsmith's client
    for JavaScript replaces its own with those of the answer.
    """
    try:
        sent = parse_json(body) if request.method == "POST" else request.GET
        echo = {"identifier": _scalar(sent.get("identifier")), "traits": list(_traits(sent.get("traits")))}
    except (AttributeError, LookupError, TypeError, ValueError):
        detail = 'The body must be like {"identifier": "42", "traits": [{"trait_key": "plan", "trait_value": "gold"}]}.'
        return JsonResponse({"detail": detail}, status=400)
    return _answer(request, await session_flags(request), echo)


@endpoint("POST")
async def analytics(request: HttpRequest, body: bytes) -> HttpResponse:
    """Answer 200 to `POST analytics/flags/`, as Flagsmith does whatever is sent; count reads of what a page may see."""
    if get_read_config().reports_usage:
        flags = await Flags().apin()
        names = {client_name(name): name for name in visible_names(flags) if name in flags}
        with suppress(ValueError, AttributeError):
            for sent, count in parse_json(body).items():
                if sent in names and type(count) is int and count > 0:
                    usage_counter.count(names[sent], min(count, MAX_READS))
    return HttpResponse()


def _answer(request: HttpRequest, flags: Flags, echo: dict[str, Any] | None = None) -> HttpResponse:
    """Return flags as `flags/` has them, or, with what an identity sent, as `identities/` does."""
    if not has_flags(flags):  # a client that gets an error keeps its `defaultFlags`, which an empty list would replace
        return JsonResponse({"detail": "There are no flags yet."}, status=503, headers={"Retry-After": RETRY_SECONDS})
    visible, name = visible_flags(flags), request.GET.get("feature")
    features = [_feature(flag, flags, with_variant=echo is not None) for flag in visible.values()]
    content: Any = features if echo is None else {**echo, "flags": features}
    if name is not None:
        if name not in visible:
            return JsonResponse({"detail": "Given feature not found"}, status=404)
        content = features[list(visible).index(name)]
    response = JsonResponse(content, safe=False)
    if flags.snapshot:  # the client ignores notifications of a time that is not later
        response["X-Flagsmith-Document-Updated-At"] = repr(flags.snapshot.head.changed_at / 1_000_000)
    return response


def _feature(flag: Flag, flags: Flags, *, with_variant: bool) -> dict[str, Any]:
    is_multivariate = flags.snapshot is not None and flag.feature_name in flags.snapshot.environment.multivariate
    feature = {
        "id": flag.feature_id,
        "name": flag.feature_name,
        "type": "MULTIVARIATE" if is_multivariate else "STANDARD",
    }
    shown = {"feature": feature, "enabled": flag.enabled, "feature_state_value": flag.value}
    return {**shown, "variant": flag.variant} if with_variant else shown


def _traits(sent: Any) -> Iterator[dict[str, Any]]:
    """Return the traits of a request as an answer has them; raise one of several errors for anything else."""
    for trait in sent or ():
        name, value = str(_scalar(trait["trait_key"])), _scalar(trait["trait_value"])
        if value is not None:  # None removes a trait
            yield {"trait_key": name, "trait_value": value, "transient": bool(trait.get("transient"))}


def _scalar(value: Any) -> Any:
    if not isinstance(value, SCALAR):
        raise TypeError
    return value

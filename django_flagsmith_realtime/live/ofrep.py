"""OFREP 0.3, the OpenFeature Remote Evaluation Protocol: https://github.com/open-feature/protocol."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, JsonResponse
from django.utils.http import parse_etags
from flagsmith.models import Flag

from ..conf import get_read_config
from ..environment.defaults import DEFAULTS_REASON
from ..reading.flags import Flags
from .endpoint import endpoint, parse_json
from .stream import stream_url
from .visible import RETRY_SECONDS, has_flags, session_flags, visible_flags, visible_names

# Of Flagsmith's reasons only the first word: "TARGETING_MATCH; segment=…" names a segment.
REASONS = {DEFAULTS_REASON: "DEFAULT", **{name: name for name in ("STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT")}}
NO_VALUE = (None, "")  # as Flagsmith stores a feature that is just on or off, the latter after an edit
INACTIVITY_SECONDS = 120  # after which a hidden page closes its stream: the protocol's default


@endpoint("POST")
async def evaluate_all(request: HttpRequest, body: bytes) -> HttpResponse:
    """Answer all flags that a browser may see, for the identity of the session; 304 where the client has them.

    The context in the body must be an object, and changes nothing.
    """
    if problem := _find_problem(body):
        return JsonResponse(problem, status=400)
    flags = await session_flags(request)
    environment = flags.of(None)
    evaluated = [_evaluation(flag, environment) for flag in visible_flags(flags).values()]
    content = json.dumps({"flags": evaluated, **_event_streams(request)}).encode()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    known = [each.removeprefix("W/") for each in parse_etags(request.headers.get("If-None-Match", ""))]
    if etag in known:  # weakly, as a proxy that compresses makes it
        return HttpResponseNotModified(headers={"ETag": etag})
    if known and not has_flags(flags):  # the client keeps what it has; a new one gets `DEFAULTS`, and the stream
        problem = {"errorCode": "PROVIDER_NOT_READY", "errorDetails": "There are no flags yet."}
        return JsonResponse(problem, status=503, headers={"Retry-After": RETRY_SECONDS})
    return HttpResponse(content, content_type="application/json", headers={"ETag": etag})


@endpoint("POST")
async def evaluate(request: HttpRequest, body: bytes, key: str) -> HttpResponse:
    """Answer one flag; 404 for every name that a browser may not see, whether there is such a flag or not."""
    if problem := _find_problem(body):
        return JsonResponse({"key": key, **problem}, status=400)
    flags = await session_flags(request)
    if key not in visible_names(flags):
        problem = {"errorCode": "FLAG_NOT_FOUND", "errorDetails": "There is no such flag."}
        return JsonResponse({"key": key, **problem}, status=404)
    return JsonResponse(_evaluation(flags.find(key), flags.of(None)))


def _find_problem(body: bytes) -> dict[str, str] | None:
    """Return what is wrong with a request's body, as the protocol has it."""
    try:
        asked = parse_json(body)
    except ValueError:
        return {"errorCode": "PARSE_ERROR", "errorDetails": "The body is not JSON."}
    if not isinstance(asked, dict) or not isinstance(asked.get("context", {}), dict):
        return {"errorCode": "INVALID_CONTEXT", "errorDetails": 'The body must be like {"context": {}}.'}
    return None


def _evaluation(flag: Flag, environment: Flags) -> dict[str, Any]:
    """Return a flag as OFREP has it.

    One without a value is a boolean: whether it is on. One with a value has it while it is on; while it is off it has
    none, so that the default in the page's code counts. The environment decides which: a flag must not change its
    type with the identity.
    """
    evaluation: dict[str, Any] = {
        "key": flag.feature_name,
        "reason": REASONS.get((flag.reason or "").partition(";")[0], "UNKNOWN"),
        "variant": flag.variant or "",  # OpenFeature's provider for Python 0.3 fails without one
        "metadata": {"enabled": flag.enabled},
    }
    if flag.value in NO_VALUE and environment.find(flag.feature_name).value in NO_VALUE:
        evaluation["value"] = flag.enabled
    elif not flag.enabled:
        evaluation["reason"] = "DISABLED"
    elif flag.value is not None:
        evaluation["value"] = flag.value
    return evaluation


def _event_streams(request: HttpRequest) -> dict[str, Any]:
    """Return where the client is notified of changes; nothing where only Django could do it, and runs under WSGI.

    OpenFeature's web provider 0.4 asks for the flags every second while its stream is refused.
    """
    if not (isinstance(request, ASGIRequest) or get_read_config().hub):
        return {}
    url = stream_url()
    where = {"endpoint": {"requestUri": url}} if url.startswith("/") else {"url": url}
    return {"eventStreams": [{"type": "sse", **where, "inactivityDelaySec": INACTIVITY_SECONDS}]}

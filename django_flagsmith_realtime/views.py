"""The views: health, for probes and dashboards, and what Flagsmith posts when a flag changes."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.utils.translation import override
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from .conf import Config, get_config
from .environment.timestamps import parse_time
from .exceptions import StoreError
from .listener.announcer import announce
from .monitoring.health import SETTINGS, check_health
from .reading.reader import get_reader
from .request_body import read_body
from .storage.announcements import QUEUE_CHANGE, WEBHOOK, received_now

MAX_BODY = 1024 * 1024  # bytes; a webhook of Flagsmith's has 2 kB, with the values of two states of one flag


@login_not_required
@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Answer 200 when all is well, else 503, with the JSON of `flagsmith_status --json`.

    Hosts, reasons and errors are shown to staff only. A sync view: under ASGI, Django runs it in a thread.
    """
    try:
        config = get_config()
        with override("en"):  # for programs
            found = check_health(config, get_reader(config).store)
    except ImproperlyConfigured:  # a wrong key, or a cache that doesn't exist; manage.py check explains it
        return JsonResponse({"healthy": False, "troubles": [SETTINGS]}, status=503)
    return JsonResponse(found.to_plain(private=_is_staff(request)), status=200 if found.is_healthy else 503)


@login_not_required
@non_atomic_requests
@csrf_exempt
@require_POST
@sensitive_variables("config")
def webhook(request: HttpRequest) -> HttpResponse:
    """Answer 200 to a webhook of Flagsmith's that is signed with `WEBHOOK_SECRET`, and have the flags fetched.

    Its body is not trusted: it only says that something changed. Without a secret in the settings the answer is 404,
    with a wrong signature 403, above 1 MiB 413, and while the cache fails 503.
    """
    config = _get_config()
    if config is None or not config.webhook_secret:
        return HttpResponse("FLAGSMITH['WEBHOOK_SECRET'] is not set.", status=404)
    if (body := read_body(request, MAX_BODY)) is None:
        return HttpResponse(status=413)
    expected = hmac.new(config.webhook_secret.encode(), body, "sha256").hexdigest()
    if not constant_time_compare(expected, request.headers.get("X-Flagsmith-Signature", "")):
        return HttpResponse("The signature is not that of FLAGSMITH['WEBHOOK_SECRET'].", status=403)
    announcement = received_now(WEBHOOK, signed_at=_find_time(body, "data", "timestamp"))
    try:
        announce(config, announcement, digest=hashlib.sha256(body).hexdigest())
    except (StoreError, ImproperlyConfigured):
        return HttpResponse("The cache failed.", status=503)
    return HttpResponse()  # 200: to "Test your webhook" in Flagsmith every other status is a failure


@login_not_required
@non_atomic_requests
@csrf_exempt
@require_POST
@sensitive_variables("config")
def queue_change(request: HttpRequest, key: str) -> HttpResponse:
    """Answer 200 to what a self-hosted Flagsmith posts to its stream service, and have the flags fetched.

    `key` is the client-side key of the environment that changed. Without `REALTIME_TOKEN` in the settings the answer is
    404, with another token 401, for a body without a time 422, above 1 MiB 413, and while the cache fails 503.
    """
    config = _get_config()
    if config is None or not config.realtime_token:
        return HttpResponse("FLAGSMITH['REALTIME_TOKEN'] is not set.", status=404)
    if not constant_time_compare(f"Token {config.realtime_token}", request.headers.get("Authorization", "")):
        return HttpResponse("The token is not that of FLAGSMITH['REALTIME_TOKEN'].", status=401)
    if (body := read_body(request, MAX_BODY)) is None:
        return HttpResponse(status=413)
    if (time := _find_time(body, "updated_at")) is None:
        return HttpResponse('The body must be JSON: {"updated_at": "2026-11-22T18:39:46.808034+00:00"}.', status=422)
    try:
        announce(config, received_now(QUEUE_CHANGE, time=time), stream_key=key)
    except (StoreError, ImproperlyConfigured):
        return HttpResponse("The cache failed.", status=503)
    return JsonResponse(None, safe=False)


def _get_config() -> Config | None:
    try:
        return get_config()
    except ImproperlyConfigured:  # manage.py check explains it
        return None


def _find_time(body: bytes, *path: str) -> int | None:
    """Return the time at a path in JSON; None where there is none."""
    try:
        value = json.loads(body)
        for name in path:
            value = value[name]
        return parse_time(value)
    except (TypeError, LookupError, ValueError, RecursionError):
        return None


def _is_staff(request: HttpRequest) -> bool:
    try:
        user: Any = request.user
        return bool(user.is_staff and user.is_active)
    except Exception:  # no authentication middleware, or its database is down: the probe gets its answer all the same
        return False

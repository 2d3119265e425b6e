"""What the views that browsers ask have in common: who may ask, the size of a body, and what caches must not keep."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import connections
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.http import is_same_domain
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from ..request_body import read_body

MAX_BODY = 64 * 1024  # bytes; an OpenFeature context or an identity's traits are read for their form only

View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


def endpoint(*methods: str) -> Callable[[View], View]:
    """Decorate a coroutine function as the view of some methods; it gets the request and its body, b"" without one.

    A page of another origin gets 403, a body of more than 64 KiB 413. No cache keeps the answer. There is no CSRF
    token: a request changes nothing here.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        async def checked(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            if not is_trusted_origin(request):
                text = "The Origin is neither this site's nor in CSRF_TRUSTED_ORIGINS."
                return HttpResponse(text, status=403, content_type="text/plain")
            body = read_body(request, MAX_BODY) if request.method == "POST" else b""
            if body is None:
                return HttpResponse(status=413)
            response = await view(request, body, **arguments)
            patch_vary_headers(response, ["Cookie"])
            return response

        return login_not_required(csrf_exempt(without_transaction(never_cache(require_http_methods(methods)(checked)))))

    return decorate


def without_transaction(view: View) -> View:
    """Let an async view run where a database, whichever, has `ATOMIC_REQUESTS`: Django refuses it otherwise."""
    for alias in connections:
        view = non_atomic_requests(alias)(view)
    return view


def is_trusted_origin(request: HttpRequest) -> bool:
    """Tell whether the page that asks is of an origin that Django's CSRF protection trusts, or isn't named."""
    origin = request.headers.get("Origin")
    if origin is None or origin == f"{request.scheme}://{request.get_host()}":
        return True
    scheme, _, host = origin.partition("://")
    for trusted in settings.CSRF_TRUSTED_ORIGINS:
        trusted_scheme, _, pattern = trusted.partition("://")
        if trusted == origin or (
            scheme == trusted_scheme and pattern.startswith("*") and is_same_domain(host, pattern[1:])
        ):
            return True
    return False


def parse_json(body: bytes) -> Any:
    """Parse JSON as RFC 8259 has it, which knows no NaN; raise ValueError for anything else."""
    try:
        return json.loads(body, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is not a number in JSON")
    return number

"""The health view, for probes and dashboards."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .conf import get_config
from .monitoring.health import check_health
from .reading.reader import get_reader


@login_not_required
@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Answer 200 when all is well, else 503, with the JSON of `flagsmith_status --json`.

    Hosts, reasons and errors are shown to staff only. A sync view: under ASGI, Django runs it in a thread.
    """
    try:
        config = get_config()
        found = check_health(config, get_reader(config).store)
    except ImproperlyConfigured:  # a wrong key, or a cache that doesn't exist; manage.py check explains it
        return JsonResponse({"healthy": False, "troubles": ["settings"]}, status=503)
    return JsonResponse(found.to_plain(private=_is_staff(request)), status=200 if found.is_healthy else 503)


def _is_staff(request: HttpRequest) -> bool:
    try:
        user: Any = request.user
        return bool(user.is_staff and user.is_active)
    except Exception:  # no authentication middleware, or its database is down: the probe gets its answer all the same
        return False

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
from .monitoring.status_json import to_plain
from .reading.reader import get_reader


@login_not_required
@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Answer 200 when all is well, else 503, with what `flagsmith_status --json` prints.

    Hosts, reasons and errors are for staff. A sync view: under ASGI Django runs it beside the event loop.
    """
    try:
        config = get_config()
        found = check_health(config, get_reader(config).store)
    except ImproperlyConfigured:  # or an alias that is not there; manage.py check says more
        return JsonResponse({"healthy": False, "troubles": ["settings"]}, status=503)
    return JsonResponse(to_plain(found, private=_is_staff(request)), status=200 if found.is_healthy else 503)


def _is_staff(request: HttpRequest) -> bool:
    try:
        user: Any = request.user
        return bool(user.is_staff and user.is_active)
    except Exception:  # without a user, or without the database that knows them, the probe still gets its answer
        return False

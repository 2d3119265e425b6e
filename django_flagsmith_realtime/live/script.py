"""The script that `{% flags_live %}` puts into a page."""

from __future__ import annotations

from typing import Any

import django
from django.forms.utils import flatatt
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..api import Flags
from .stream import stream_url


def live_script(flags: Flags, request: HttpRequest | None) -> SafeString:
    """Return the `<script>` that gets each change from the version on that the page is rendered with."""
    attributes = {
        "type": "module",
        "src": static("django_flagsmith_realtime/live.js"),
        "data-stream": stream_url(),
        "data-sequence": str(flags.snapshot.sequence) if flags.snapshot else "",
        "nonce": _csp_nonce(request),
    }
    return format_html("<script{}></script>", flatatt(attributes))


def _csp_nonce(request: HttpRequest | None) -> Any:
    """Return the nonce that django-csp, or Django 6's own middleware, gave a request; None without one."""
    if request is not None and django.VERSION >= (6, 0):
        from django.middleware.csp import get_nonce

        if (nonce := get_nonce(request)) is not None:
            return nonce
    return getattr(request, "csp_nonce", None)

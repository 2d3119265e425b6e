"""A content security policy that allows nothing inline, for the Djangos that have none of their own."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

POLICY = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; " + "; ".join(
    f"{kind} 'self'" for kind in ("script-src", "style-src", "img-src", "connect-src", "form-action")
)


class ContentSecurityPolicyMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response["Content-Security-Policy"] = POLICY
        return response

"""The part of Flagsmith's API that an SDK uses, with the headers and bodies recorded from a real API."""

from __future__ import annotations

from datetime import datetime, timezone
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

from .document import Document, FeatureState, is_server_key_only, updated_at
from .responses import Headers, Response, json_response

NEVER_CACHE: Headers = (
    ("Cache-Control", "max-age=0, no-cache, no-store, must-revalidate, private"),
    ("Pragma", "no-cache"),
)
SECURITY: Headers = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Flagsmith-Version", "2.265.0"),
)
VARY_ACCEPT = ("Vary", "Accept, Origin")
VARY_KEY = ("Vary", "X_ENVIRONMENT_KEY, Origin")
VARY_ORIGIN = ("Vary", "Origin")


def environment_document(document: Document, key: str | None, server_key: str) -> Response:
    """Answer `GET environment-document/`: the document for the server-side key only."""
    if key == server_key:
        return _ok(document, (*_document_times(document), VARY_ACCEPT))
    return _forbidden(VARY_ACCEPT, is_wrong=(key or "").startswith("ser."))


def flags(document: Document, key: str | None, server_key: str, feature: str | None) -> Response:
    """Answer `GET flags/`: a list, or one object for `?feature=`."""
    if key not in (document["api_key"], server_key):
        return _forbidden(VARY_ORIGIN, is_wrong=bool(key))
    states = _visible_states(document, everything=key == server_key)
    if feature is None:
        return _ok(states, (_document_updated_at(document), VARY_KEY))
    for state in states:
        if state["feature"]["name"] == feature:
            return _ok(state, (VARY_KEY,))
    detail = {"detail": "Given feature not found"}
    return json_response(detail, HTTPStatus.NOT_FOUND, _common_headers((VARY_KEY,)))


def usage(document: Document, key: str | None, server_key: str) -> Response:
    """Answer `POST analytics/flags/`: nothing, whatever was sent with a key of the environment."""
    if key not in (document["api_key"], server_key):
        return _forbidden(VARY_ORIGIN, is_wrong=bool(key))
    return Response(HTTPStatus.OK, _common_headers((VARY_ORIGIN,)))


def moved_to_slash(path: str) -> Response:
    """Redirect a request whose path lacks the slash at its end."""
    headers = (("Content-Type", "text/html; charset=utf-8"), ("Location", path), VARY_ORIGIN)
    return Response(HTTPStatus.MOVED_PERMANENTLY, (*headers, *SECURITY))


def _ok(payload: Any, headers: Headers) -> Response:
    return json_response(payload, headers=_common_headers(headers))


def _forbidden(vary: tuple[str, str], *, is_wrong: bool) -> Response:
    # The real API spells "key" in two ways: "Key" for a wrong server-side key, else "key".
    detail = "Invalid or missing Environment Key" if is_wrong else "Invalid or missing Environment key"
    return json_response({"detail": detail}, HTTPStatus.FORBIDDEN, _common_headers((vary,)))


def _common_headers(headers: Headers) -> Headers:
    expires = format_datetime(datetime.now(timezone.utc), usegmt=True)
    allow = ("Allow", "GET, HEAD, OPTIONS")
    return (*headers, allow, ("Expires", expires), *NEVER_CACHE, ("X-Frame-Options", "DENY"), *SECURITY)


def _document_times(document: Document) -> Headers:
    modified = datetime.fromtimestamp(updated_at(document), timezone.utc)
    return (_document_updated_at(document), ("Last-Modified", format_datetime(modified, usegmt=True)))


def _document_updated_at(document: Document) -> tuple[str, str]:
    return ("X-Flagsmith-Document-Updated-At", str(updated_at(document)))


def _visible_states(document: Document, *, everything: bool) -> list[dict[str, Any]]:
    return [
        _api_state(document, state)
        for state in document["feature_states"]
        if everything or not is_server_key_only(document, state)
    ]


def _api_state(document: Document, state: FeatureState) -> dict[str, Any]:
    return {
        "id": state["django_id"],
        "feature": _api_feature(document, state),
        "feature_state_value": state["feature_state_value"],
        "environment": document["id"],
        "identity": None,
        "feature_segment": None,
        "enabled": state["enabled"],
    }


def _api_feature(document: Document, state: FeatureState) -> dict[str, Any]:
    feature, value = state["feature"], state["feature_state_value"]
    return {
        "id": feature["id"],
        "name": feature["name"],
        "created_date": document["updated_at"].replace("+00:00", "Z"),
        "description": f"Feature {feature['name']}",
        "initial_value": None if value is None else str(value),
        "default_enabled": state["enabled"],
        "type": feature["type"],
    }

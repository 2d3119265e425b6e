"""A page's requests to the endpoints, through a site whose middleware is sync or async."""

from __future__ import annotations

import json
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpRequest
from django.test import AsyncClient, Client

from django_flagsmith_realtime import Identity

OFREP = "/flagsmith/ofrep/v1/evaluate/flags"
FLAGS = "/flagsmith/api/v1/flags/"
IDENTITIES = "/flagsmith/api/v1/identities/"
ANALYTICS = "/flagsmith/api/v1/analytics/flags/"
SETTING = {"ENVIRONMENT_KEY": "ser.tests", "FRESHNESS": 0, "BROWSER_FLAGS": "all"}


def from_header(request: HttpRequest) -> Identity | None:
    """An `IDENTITY` for tests: the traits are the server's own, and none of a page's business."""
    name = request.headers.get("X-Session")
    return Identity(name, json.loads(request.headers.get("X-Traits", "{}"))) if name else None


GOLD = {"X-Session": "ann", "X-Traits": '{"plan": "gold"}'}
PER_SESSION = {**SETTING, "IDENTITY": f"{__name__}.from_header"}


def post(url: str, body: Any = None, *, client: Client | None = None, **headers: str) -> Any:
    """Return the answer to what a page posts: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps({"context": {}} if body is None else body)
    return (client or Client()).post(url, data, content_type="application/json", headers=headers)


def apost(url: str, body: Any = None, **headers: str) -> Any:
    """Return the answer under ASGI."""

    async def answer() -> Any:
        data = body if isinstance(body, bytes) else json.dumps({"context": {}} if body is None else body)
        return await AsyncClient().post(url, data, content_type="application/json", headers=headers)

    return async_to_sync(answer)()


def evaluations(response: Any) -> dict[str, Any]:
    """Return the flags of an OFREP answer by name."""
    assert response.status_code == 200, response.content
    return {flag["key"]: flag for flag in response.json()["flags"]}

"""What Flagsmith's API posts when a flag changes: webhooks, and `queue-change` for the service behind its stream."""

from __future__ import annotations

import hmac
import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import requests

from .document import Document, find_state

# Seconds, as recorded from an API with its default settings.
WEBHOOK_TIMEOUT = 10.0  # it doesn't repeat a webhook that was refused
QUEUE_CHANGE_TIMEOUT = 2.0
QUEUE_CHANGE_PAUSES = (0.0, 0.12, 0.02)  # before each of its three tries

logger = logging.getLogger(__name__)


class Delivery(Protocol):
    """What is posted, and to whom."""

    def deliver(self, before: Document, after: Document, name: str) -> None:
        """Post the change of one flag, from one document to the next."""


@dataclass(frozen=True)
class Webhook:
    """A webhook as it is entered in the environment's settings."""

    url: str
    secret: str

    def deliver(self, before: Document, after: Document, name: str) -> None:
        """Post both states of the flag, signed."""
        data = {
            "changed_by": "admin@example.com",
            "new_state": _state(after, name),
            "previous_state": _state(before, name),
            "timestamp": after["updated_at"].replace("+00:00", "Z"),
        }
        body = json.dumps({"data": data, "event_type": "FLAG_UPDATED"}).encode()
        signature = hmac.new(self.secret.encode(), body, "sha256").hexdigest()
        _post("webhook", self.url, body, {"X-Flagsmith-Signature": signature}, WEBHOOK_TIMEOUT)


@dataclass(frozen=True)
class QueueChange:
    """The stream service's side: the API's SSE_SERVER_BASE_URL and SSE_AUTHENTICATION_TOKEN."""

    url: str
    token: str

    def deliver(self, before: Document, after: Document, name: str) -> None:
        """Post when the environment changed, again if that fails."""
        url = f"{self.url}/sse/environments/{after['api_key']}/queue-change"
        body = json.dumps({"updated_at": after["updated_at"]}).encode()
        for pause in QUEUE_CHANGE_PAUSES:
            time.sleep(pause)
            if _post("queue-change", url, body, {"Authorization": f"Token {self.token}"}, QUEUE_CHANGE_TIMEOUT):
                return


def deliver_in_background(delivery: Delivery, before: Document, after: Document, name: str) -> None:
    """Post in a thread, as the API does: nothing orders two changes."""
    threading.Thread(target=delivery.deliver, args=(before, after, name), daemon=True).start()


def _state(document: Document, name: str) -> dict[str, Any]:
    state = find_state(document, name)
    return {
        "enabled": state["enabled"],
        "environment": {"id": document["id"], "name": document["name"]},
        "feature": state["feature"],
        "feature_segment": None,
        "feature_state_value": state["feature_state_value"],
        "identity": None,
        "identity_identifier": None,
        "multivariate_feature_state_values": state["multivariate_feature_state_values"],
    }


def _post(what: str, url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> bool:
    """Post without following a redirect, as the API does; return whether that is not to be repeated."""
    headers = {"Content-Type": "application/json", **headers}
    try:
        response = requests.post(url, body, headers=headers, timeout=timeout, allow_redirects=False)
    except requests.RequestException as error:
        logger.info("%s: %s did not answer: %s", what, url, type(error).__name__)
        return False
    logger.info("%s: %s answered %d", what, url, response.status_code)
    return response.ok

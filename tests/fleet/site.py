"""A site that answers with a worker's process and the flag that it reads there."""

from __future__ import annotations

import os
import time
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application

from tests.fleet.reader import FLAG

HOLD = 0.05  # seconds, so that requests that come at once go to different workers

get_wsgi_application()


def answer(value: object, start_response: Any) -> list[bytes]:
    time.sleep(HOLD)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {value}".encode()]


def application(environ: Any, start_response: Any) -> list[bytes]:
    from django_flagsmith_realtime import get_flags

    return answer(get_flags(WSGIRequest(environ)).get_feature_value(FLAG), start_response)

"""The streams on real servers: what they send, what they hold, and how they end."""

from __future__ import annotations

from typing import Any

from tests.support.live_site import GUNICORN, PAGE_STREAM, live_site, sdk_stream


def test_under_wsgi_the_streams_say_what_to_run(cache: dict[str, Any]) -> None:
    with live_site(cache, *GUNICORN) as site, site.connect() as connection:
        for path in (PAGE_STREAM, sdk_stream("key")):
            connection.request("GET", path)
            response = connection.getresponse()
            assert (response.status, b"uvicorn" in response.read()) == (501, True)

"""What pages ask for their flags, on real servers: sessions, a page cache in front, large bodies, another SDK."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import requests
from flagsmith import Flagsmith

from tests.support.documents import publish
from tests.support.live_site import GUNICORN, UVICORN, LiveSite
from tests.support.nginx import CachingProxy
from tests.support.processes import RedisServer

OFREP = "/flagsmith/ofrep/v1/evaluate/flags"
FLAGS = "/flagsmith/api/v1/flags/"
IDENTITIES = "/flagsmith/api/v1/identities/"


@pytest.fixture(scope="module", params=[UVICORN, GUNICORN], ids=["asgi", "wsgi"])
def running_site(request: pytest.FixtureRequest, redis_process: RedisServer) -> Iterator[LiveSite]:
    with LiveSite(redis_process.cache(), *request.param, BROWSER_FLAGS="all") as site:
        yield site


@pytest.fixture
def site(running_site: LiveSite, cache: dict[str, Any]) -> LiveSite:
    """A site whose cache is empty; what the test publishes, it serves."""
    return running_site


def banners(visitor: requests.Session, url: str) -> set[Any]:
    """Return the value of one flag by each endpoint."""
    answers = [
        visitor.post(f"{url}{OFREP}", json={"context": {}}),
        visitor.post(f"{url}{OFREP}/banner_text", json={"context": {}}),
        visitor.get(f"{url}{FLAGS}", params={"feature": "banner_text"}),
        visitor.get(f"{url}{IDENTITIES}", params={"feature": "banner_text"}),
        visitor.post(f"{url}{IDENTITIES}?feature=banner_text", json={"identifier": "user_alice"}),
    ]
    assert [answer.headers.get("X-Cache") for answer in answers if answer.headers.get("X-Cache") == "HIT"] == []
    bodies = [answer.json() for answer in answers]
    [bodies[0]] = [flag for flag in bodies[0]["flags"] if flag["key"] == "banner_text"]
    return {body["value"] if "value" in body else body["feature_state_value"] for body in bodies}


def test_each_visitor_sees_their_own_flags_also_through_a_page_cache(site: LiveSite) -> None:
    publish()
    alice, nobody = requests.Session(), requests.Session()
    with CachingProxy(site.port) as proxy:
        for url in (site.url, f"http://127.0.0.1:{proxy.port}"):
            for _ in range(2):
                alice.get(f"{url}/login/user_alice/")
                assert banners(alice, url) == {"Hello Alice"}
                assert banners(nobody, url) == {"Welcome to Northwind"}
                alice.get(f"{site.url}/logout/")
                assert banners(alice, url) == {"Welcome to Northwind"}
        answers = [requests.get(f"http://127.0.0.1:{proxy.port}/none/") for _ in range(2)]
        assert answers[1].headers["X-Cache"] == "HIT", "it does keep what it may keep"


def chunks(size: int) -> Iterable[bytes]:
    yield b'{"context": {"text": "'
    for _ in range(size // 1024):
        yield b"x" * 1024
    yield b'"}}'


def test_a_body_without_a_length_is_bounded_too(site: LiveSite) -> None:
    publish()
    large, small = (413, 200) if site.arguments == UVICORN else (400, 400)  # under WSGI, Django reads none of it
    for url in (OFREP, IDENTITIES):
        assert requests.post(site.url + url, data=chunks(1024 * 1024)).status_code == large
        assert requests.post(site.url + url, data=chunks(1024)).status_code == small


def test_flagsmiths_sdk_for_python_reads_the_flags_from_the_site(site: LiveSite) -> None:
    publish(banner_text="Sale")
    sdk = Flagsmith(environment_key="any", api_url=f"{site.url}/flagsmith/api/v1/")
    for flags in (sdk.get_environment_flags(), sdk.get_identity_flags("user_alice", {"plan": "gold"})):
        assert flags.get_feature_value("banner_text") == "Sale"
        assert not flags.is_feature_enabled("new_checkout"), "Flagsmith has it on for user_alice, whom no session names"

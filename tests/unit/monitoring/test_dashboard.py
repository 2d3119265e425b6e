"""Where a flag is in Flagsmith's dashboard."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from django_flagsmith_realtime.conf import Config
from django_flagsmith_realtime.environment.snapshot import Environment, Snapshot, parse_document
from django_flagsmith_realtime.monitoring.dashboard import flag_url
from tests.support.cases import each_case
from tests.support.documents import KEY, RECORDED, STATES, publish

OWN = "https://flagsmith.example.com/api/v1/"
PLACE = (
    f"project/{RECORDED['project']['id']}/environment/{RECORDED['api_key']}/features"
    f"?feature={STATES['dark_mode']['feature']['id']}"
)


@each_case(
    ("setting", "dashboard"),
    [
        ({}, "https://app.flagsmith.com/"),
        ({"api_url": OWN}, None),
        ({"api_url": OWN, "dashboard_url": "https://flagsmith.example.com/"}, "https://flagsmith.example.com/"),
        ({"api_url": OWN, "dashboard_url": "https://app.flagsmith.com/"}, "https://app.flagsmith.com/"),
        ({"environment_key": None}, None),
    ],
)
def test_a_flag_is_in_the_dashboard_of_its_flagsmith(setting: dict[str, Any], dashboard: str | None) -> None:
    snapshot = publish()
    config = Config(**{"environment_key": KEY, **setting})
    assert flag_url(config, snapshot, "dark_mode") == (f"{dashboard}{PLACE}" if dashboard else "")
    assert flag_url(config, snapshot, "nowhere") == flag_url(config, None, "dark_mode") == ""


@each_case("project_id", [None, "7", True])
def test_a_document_without_the_projects_number_is_as_good_but_for_the_link(project_id: object) -> None:
    body = copy.deepcopy(RECORDED)
    body["project"]["id"] = project_id
    document = parse_document(body)
    assert document.environment.version == parse_document(RECORDED).environment.version
    snapshot = replace(publish(), environment=Environment.from_payload(document.environment.payload))
    assert flag_url(Config(environment_key=KEY), snapshot, "dark_mode") == ""


def test_an_odd_key_stays_in_its_place() -> None:
    snapshot = publish()
    environment = parse_document({**RECORDED, "api_key": "a/?<key>"}).environment
    url = flag_url(Config(environment_key=KEY), Snapshot(snapshot.head, environment), "dark_mode")
    assert "/environment/a%2F%3F%3Ckey%3E/features?" in url

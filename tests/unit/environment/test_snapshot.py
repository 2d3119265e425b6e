"""Evaluation equals the official SDK's own, and what a payload keeps."""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, astuple
from datetime import datetime, timezone
from typing import Any

import pytest
from flagsmith import Flagsmith
from flagsmith.models import Flag
from flagsmith.offline_handlers import LocalFileHandler

from django_flagsmith_realtime.environment.snapshot import Environment, Head, Snapshot, parse_document
from django_flagsmith_realtime.exceptions import InvalidDocument
from tests.support import recordings
from tests.support.cases import each_case

RECORDED = recordings.document()
NAMES = sorted(state["feature"]["name"] for state in RECORDED["feature_states"])
IDENTITIES: dict[str, Mapping[str, Any]] = {
    "user_alice": {},
    "user_bob": {"plan": "gold"},
    "user_carol": {"plan": "gold", "age": 40, "country": "DE"},
    "gold": {"plan": "gold"},
    "staff": {"email": "ann@northwind.example", "age": 18},
    "eu, blocked": {"country": "FR", "age": 30, "blocked": "true"},
    "new app": {"app_version": "2.1.0"},
    "even": {"user_number": 4, "app_version": "1.9.9"},
    "visitor-29": {"plan": "silver", "age": "old"},
    "visitor-5": {},
}


def flags_of(flags: Any) -> dict[str, tuple[Any, ...]]:
    return {name: astuple(flags.get_flag(name)) for name in NAMES}


@pytest.fixture(scope="module")
def official() -> Flagsmith:
    """The official SDK on the document as it was recorded."""
    return Flagsmith(offline_mode=True, offline_handler=LocalFileHandler(str(recordings.DOCUMENT)))


FETCHED = parse_document(recordings.document()).environment
fetched_and_stored = each_case("environment", [FETCHED, Environment.from_payload(FETCHED.payload)])


@fetched_and_stored
def test_every_flag_of_the_environment_is_what_the_official_sdk_says(
    environment: Environment, official: Flagsmith
) -> None:
    expected = flags_of(official.get_environment_flags())
    assert {name: astuple(flag) for name, flag in environment.flags.items()} == expected
    assert expected["max_cart_items"][:4] == (True, 25, 14, "max_cart_items")


@fetched_and_stored
@each_case("identifier", IDENTITIES)
def test_every_flag_of_an_identity_is_what_the_official_sdk_says(
    environment: Environment, official: Flagsmith, identifier: str
) -> None:
    traits = IDENTITIES[identifier]
    ours = environment.identity_flags(identifier, traits)
    assert flags_of(ours) == flags_of(official.get_identity_flags(identifier, dict(traits)))


def test_the_identities_reach_every_segment_override_and_variant(official: Flagsmith) -> None:
    flags = {name: official.get_identity_flags(name, dict(traits)) for name, traits in IDENTITIES.items()}
    reasons = {flag.reason for found in flags.values() for flag in found.all_flags()}
    for segment in RECORDED["project"]["segments"]:
        assert f"TARGETING_MATCH; segment={segment['name']}" in reasons
    assert "TARGETING_MATCH; segment=identity_overrides" in reasons
    assert {found.get_feature_value("checkout_button") for found in flags.values()} == {"green", "blue", "control"}


@fetched_and_stored
def test_the_environment_keeps_its_name_its_client_side_key_and_what_is_for_servers(environment: Environment) -> None:
    assert (environment.name, environment.api_key) == (RECORDED["name"], RECORDED["api_key"])
    assert environment.server_key_only == {"server_only_secret"}


@fetched_and_stored
def test_evaluation_leaves_the_document_as_it_was(environment: Environment) -> None:
    before = copy.deepcopy(environment.document)
    environment.identity_flags("gold", {"plan": "gold"}).all_flags()
    assert environment.document == before


@fetched_and_stored
def test_the_flags_of_an_environment_are_read_only(environment: Environment) -> None:
    flags: Any = environment.flags
    with pytest.raises(TypeError):
        flags["dark_mode"] = Flag(False, None, 1, "dark_mode")


def test_a_payload_brings_back_the_same_version() -> None:
    environment = parse_document(recordings.document()).environment
    restored = Environment.from_payload(environment.payload)
    assert restored.document == environment.document
    assert restored.version == environment.version
    assert restored.payload == environment.payload
    assert len(environment.payload) < 3_000


def test_what_a_reader_holds_is_evaluated_and_no_document() -> None:
    environment = Environment.from_payload(parse_document(recordings.document()).environment.payload)
    held = vars(environment).values()
    assert not any(isinstance(value, dict) and "feature_states" in value for value in held)
    assert environment.identity_flags("user_alice", {}).is_feature_enabled("new_checkout")
    assert environment.document["name"] == environment.name, "it is read again where it is asked for"


@each_case(
    "payload",
    [
        b"",
        b"x",
        zlib.compress(b"x"),
        zlib.compress(b"[]"),
        zlib.compress(b"[" * 200_000),
        zlib.compress(b"\xff"),
        zlib.compress(b"{}")[:-1],
    ],
)
def test_anything_but_a_payload_is_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError):
        Environment.from_payload(payload)


# Documents


def test_a_document_knows_when_it_was_changed_and_whether_real_time_is_on() -> None:
    document = parse_document(RECORDED)
    assert document.updated_at == 1_795_372_508_819_359
    assert document.realtime_enabled is False


@each_case(("said", "enabled"), [(False, False), (True, True), (None, True)])
def test_real_time_is_off_only_where_the_document_says_so(said: object, enabled: bool) -> None:
    project = {**RECORDED["project"], "enable_realtime_updates": said}
    assert parse_document({**RECORDED, "project": project}).realtime_enabled is enabled
    del project["enable_realtime_updates"]
    assert parse_document({**RECORDED, "project": project}).realtime_enabled is True


def test_a_document_that_the_sdk_cannot_read_is_refused() -> None:
    body = recordings.document()
    for state in body["feature_states"]:
        for variant in state["multivariate_feature_state_values"]:
            variant.update(id=None, mv_fs_value_uuid="no uuid")
    with pytest.raises(InvalidDocument, match="isn't an environment document"):
        parse_document(body)


def test_an_empty_environment_has_no_flags() -> None:
    body = {"api_key": "k", "name": "n", "project": {"segments": []}, "feature_states": [], "updated_at": "2026-01-01"}
    assert dict(parse_document(body).environment.flags) == {}


# Snapshots


def test_a_snapshot_tells_its_head_in_datetimes() -> None:
    environment = parse_document(RECORDED).environment
    head = Head(7, environment.version, 1_795_372_508_819_359, 1_795_372_509_000_000, 1_795_372_508_819_359)
    snapshot = Snapshot(head, environment)
    assert snapshot.updated_at == datetime(2026, 11, 22, 18, 35, 8, 819_359, tzinfo=timezone.utc)
    assert snapshot.published_at == datetime(2026, 11, 22, 18, 35, 9, tzinfo=timezone.utc)
    assert (snapshot.sequence, snapshot.version) == (7, environment.version)


def test_a_snapshot_cannot_be_changed() -> None:
    environment = parse_document(RECORDED).environment
    snapshot: Any = Snapshot(Head(7, environment.version, 0, 0, 0), environment)
    with pytest.raises(FrozenInstanceError):
        snapshot.head = None
    with pytest.raises(AttributeError):
        snapshot.head.sequence = 8


def test_neither_keys_nor_values_are_in_the_repr_of_a_snapshot() -> None:
    environment = parse_document(RECORDED).environment
    shown = repr(Snapshot(Head(7, environment.version, 0, 0, 0), environment))
    assert RECORDED["api_key"] not in shown
    assert "s3cr3t" not in shown
    assert json.dumps(RECORDED["name"]) not in shown

"""What a process reads from the cache equals what the official SDK makes of the document as Flagsmith sent it.

Only whose override applies is ours: the SDK reads identifiers as numbers, and overrides with values that Python takes
for equal as one. There it must equal what the SDK makes of a document that has the overrides of that identity alone.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from math import inf
from typing import Any

import pytest
from django.core.cache import caches
from flagsmith import Flagsmith
from flagsmith.models import Flag
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from django_flagsmith_realtime import Flags, Identity, aget_flags, get_flags
from django_flagsmith_realtime.environment.snapshot import parse_document
from django_flagsmith_realtime.reading import reader
from tests.support import recordings
from tests.support.cases import each_case
from tests.support.documents import RECORDED, configured_store
from tests.support.strategies import documents, identities
from tests.unit.environment.test_identity_overrides import document as overridden
from tests.unit.environment.test_snapshot import IDENTITIES

Person = tuple[str, Mapping[str, Any]]


@dataclass
class AsSent:
    """Hands a document to the official SDK, with everything that Flagsmith put into it."""

    document: Any

    def get_environment(self) -> Any:
        return copy.deepcopy(self.document)


def publish_raw(document: Any) -> None:
    """Let another process publish a document, as the first that this one ever sees."""
    caches["default"].clear()
    reader.drop_readers()
    store = configured_store()
    store.publish(parse_document(json.loads(json.dumps(document))), after=None)
    store.close()


def shown(flag: Flag) -> tuple[Any, ...]:
    return (*astuple(flag), type(flag.value), type(flag.enabled))


def expected(official: Flagsmith, identifier: str, traits: Mapping[str, Any]) -> dict[str, Flag]:
    """Return what the official SDK says; of a flag that it can't evaluate, what it says of the environment's."""
    flags = official.get_identity_flags(identifier, dict(traits))
    try:
        return {flag.feature_name: flag for flag in flags.all_flags()}
    except Exception:
        return {flag.feature_name: one(flags, flag) for flag in official.get_environment_flags().all_flags()}


def one(flags: Any, environment_flag: Flag) -> Flag:
    try:
        found: Flag = flags.get_flag(environment_flag.feature_name)
    except Exception:
        return environment_flag
    return found


def for_one(document: Any, identifier: str) -> Any:
    """Return a document for one identity: it is in a segment with its overrides, and in none with those of others."""
    everybody, nobody = [{"type": "ALL", "rules": [], "conditions": []}], []
    overrides = [
        {
            "id": -number,
            "name": "identity_overrides",
            "rules": everybody if override["identifier"] == identifier else nobody,
            "feature_states": [
                {**state, "multivariate_feature_state_values": [], "feature_segment": {"priority": -inf}}
                for state in override["identity_features"]
            ],
        }
        for number, override in enumerate(document["identity_overrides"], start=1)
    ]
    project = {**document["project"], "segments": [*document["project"]["segments"], *overrides]}
    return {**document, "project": project, "identity_overrides": []}


def compare(document: Any, people: list[Person], seen: Counter[str]) -> list[str]:
    """Compare all flags of the environment and of some identities, and count them; return where the SDK is wrong."""
    official = Flagsmith(offline_mode=True, offline_handler=AsSent(document))
    publish_raw(document)
    environment = {flag.feature_name: flag for flag in official.get_environment_flags().all_flags()}
    check(get_flags(), environment, seen)
    differences = []
    for identifier, traits in people:
        theirs = right = expected(official, identifier, traits)
        if named := [each["identifier"] for each in document["identity_overrides"] if each["identity_features"]]:
            alone = Flagsmith(offline_mode=True, offline_handler=AsSent(for_one(document, identifier)))
            right = expected(alone, identifier, traits)
        check(get_flags(identity=Identity(identifier, traits)), right, seen)
        for name, flag in theirs.items():
            if shown(flag) != shown(right[name]):
                assert NUMBER.fullmatch(identifier) or may_confuse_values(document)
                about = f"{identifier!r} of {named}" if identifier in named else f"{identifier!r}, not of {named}"
                differences.append(f"{about}: {name!r} is {found(right[name])}; the SDK: {found(flag)}")
    seen["documents"] += 1
    return differences


def may_confuse_values(document: Any) -> bool:
    """Return whether overrides have different values that are the same to Python, or have the same hash."""
    states = [state for override in document["identity_overrides"] for state in override["identity_features"]]
    values = [state["feature_state_value"] for state in states]
    return len(set(map(hash, values))) < len(set(map(repr, values)))


def found(flag: Flag) -> str:
    return f"{flag.enabled}, {flag.value!r} ({flag.reason})"


def check(ours: Flags, theirs: dict[str, Flag], seen: Counter[str]) -> None:
    assert list(ours) == list(theirs)
    for name, flag in theirs.items():
        assert shown(ours.get_flag(name)) == shown(flag)
        assert ours.is_feature_enabled(name) is flag.enabled
        assert ours.get_feature_value(name) == flag.value
        seen["flags"] += 1
        seen[kind(flag)] += 1


def kind(flag: Flag) -> str:
    reason = (flag.reason or "").partition("=")[0]
    return "override" if flag.reason == "TARGETING_MATCH; segment=identity_overrides" else reason


# The recorded document


@each_case("identifier", IDENTITIES)
def test_the_recorded_document_reads_as_the_official_sdk_evaluates_it(identifier: str) -> None:
    seen: Counter[str] = Counter()
    compare(RECORDED, [(identifier, IDENTITIES[identifier])], seen)
    assert seen["flags"] == 2 * len(RECORDED["feature_states"])


def test_an_async_read_is_the_same() -> None:
    publish_raw(RECORDED)
    for identifier, traits in IDENTITIES.items():
        identity = Identity(identifier, traits)
        ours = asyncio.run(aget_flags(identity=identity))
        assert [shown(flag) for flag in ours.all_flags()] == [
            shown(flag) for flag in get_flags(identity=identity).all_flags()
        ]


def test_a_flag_that_is_for_servers_only_is_read_like_any_other() -> None:
    publish_raw(RECORDED)
    assert get_flags().get_feature_value("server_only_secret") == "s3cr3t"


@each_case("priorities", [(0, 1), (1, 0)])
def test_the_override_that_comes_first_in_flagsmith_wins(priorities: tuple[int, int]) -> None:
    document = recordings.document()
    gold, lucky = document["project"]["segments"][:2]
    lucky["rules"] = gold["rules"]
    for segment, priority in zip((gold, lucky), priorities, strict=True):
        segment["feature_states"][0]["feature_segment"]["priority"] = priority
    compare(document, [("42", {"plan": "gold"})], Counter())
    winner = ("gold_members", "ten_percent")[priorities.index(0)]
    assert get_flags(identity=Identity("42", {"plan": "gold"})).get_flag("banner_text").reason == (
        f"TARGETING_MATCH; segment={winner}"
    )


# Flags that depend on flags


def dependent(*edges: tuple[str, str]) -> Any:
    """Return the recorded document where a flag is on, for whom a segment names, if another flag is on."""
    document = recordings.document()
    template = document["project"]["segments"][0]
    states = {state["feature"]["name"]: state for state in document["feature_states"]}
    document["project"]["segments"] = [
        {
            **copy.deepcopy(template),
            "id": number,
            "name": f"{other} is on",
            "rules": [{"type": "ALL", "rules": [], "conditions": [is_on(other)]}],
            "feature_states": [{**states[name], "enabled": True, "feature_segment": {"priority": 0}}],
        }
        for number, (name, other) in enumerate(edges)
    ]
    return document


def is_on(name: str) -> dict[str, Any]:
    return {"operator": "EQUAL", "value": "true", "property_": f"$.flags.{name}.enabled"}


def test_a_flag_may_depend_on_another() -> None:
    document = dependent(("new_checkout", "dark_mode"), ("gift_cards", "new_checkout"), ("promo_codes", "search_v3"))
    compare(document, [("42", {})], Counter())
    flags = get_flags(identity=Identity("42"))
    assert flags.get_flag("new_checkout").reason == "TARGETING_MATCH; segment=dark_mode is on"
    assert flags.get_flag("gift_cards").reason == "TARGETING_MATCH; segment=new_checkout is on"
    assert flags.is_feature_enabled("promo_codes") is False, "it depends on a flag that does not exist"


def test_flags_that_depend_on_each_other_say_so() -> None:
    document = dependent(("new_checkout", "gift_cards"), ("gift_cards", "new_checkout"))
    compare(document, [("42", {})], Counter())
    flags = get_flags(identity=Identity("42"))
    assert flags.get_flag("new_checkout").reason == "ERROR; code=CIRCULAR_DEPENDENCY"
    assert flags.is_feature_enabled("gift_cards") is False


def test_a_segment_that_cannot_be_evaluated_spoils_no_other_flag() -> None:
    document = dependent(("new_checkout", "dark_mode"))
    broken = {"operator": "MODULO", "value": "0|0", "property_": "age"}
    segment = document["project"]["segments"][0]
    document["project"]["segments"].append(
        {
            **segment,
            "id": 99,
            "name": "broken",
            "rules": [{"type": "ALL", "rules": [], "conditions": [broken]}],
            "feature_states": [{**segment["feature_states"][0], "feature": {"id": 8, "name": "gift_cards"}}],
        }
    )
    publish_raw(document)
    flags = get_flags(identity=Identity("42", {"age": 7}))
    assert flags.is_feature_enabled("dark_mode") is True
    assert flags.is_feature_enabled("gift_cards") is False, "as in the environment"


# Documents that nobody thought of

NUMBER = re.compile(r"-?\d+(\.\d+)?")
CONFUSED = {"u1": -1, "u2": -2, "u3": 1, "u4": True, "042": "x", "1.5": "y"}
PEOPLE = st.lists(identities, min_size=2, max_size=4)
KINDS = {"STATIC", "DEFAULT", "SPLIT; weight", "TARGETING_MATCH; segment", "override", "ERROR; code"}


@pytest.mark.slow
@examples(max_examples=15)
@given(documents(), PEOPLE)
@example(RECORDED, list(IDENTITIES.items()))
def test_generated_documents_read_as_the_official_sdk_evaluates_them(document: Any, people: list[Person]) -> None:
    compare(document, people, Counter())


@pytest.mark.slow
def test_a_thousand_generated_documents_read_as_the_official_sdk_evaluates_them() -> None:
    seen: Counter[str] = Counter()
    differences: list[str] = []

    @examples(max_examples=1_000, suppress_health_check=list(HealthCheck))
    @given(documents(), PEOPLE)
    @example(overridden(CONFUSED), [(identifier, {}) for identifier in CONFUSED])
    def check_one(document: Any, people: list[Person]) -> None:
        differences.extend(compare(document, people, seen))

    check_one()
    print(dict(seen), "Of these, the SDK gives a flag to the wrong identity:", *sorted(set(differences)), sep="\n")
    assert {name for name in CONFUSED if any(each.startswith(f"'{name}' of") for each in differences)} == {
        "u1",
        "u4",
        "042",
        "1.5",
    }
    assert seen["documents"] >= 1_000
    assert seen.keys() >= KINDS

"""What is said of a document whose flags differ from those of Flagsmith's API, or that may block a process."""

from __future__ import annotations

import copy
from typing import Any

from django_flagsmith_realtime.environment.snapshot import parse_document
from django_flagsmith_realtime.environment.warnings import NO_OVERRIDES, OTHER_SPLITS
from tests.support import recordings
from tests.support.cases import each_case


def warned(**changes: Any) -> tuple[str, ...]:
    return parse_document({**recordings.document(), **changes}).warnings


def segment(operator: str, value: str) -> dict[str, Any]:
    condition = {"operator": operator, "property_": "email", "value": value}
    rules = [{"type": "ALL", "rules": [{"type": "ANY", "conditions": [condition]}]}]
    return {"id": 1, "name": "Staff", "rules": rules, "feature_states": []}


def without_variants() -> list[dict[str, Any]]:
    states = copy.deepcopy(recordings.document()["feature_states"])
    for state in states:
        state["multivariate_feature_state_values"] = []
    return states


@each_case("missing", ["use_identity_composite_key_for_hashing", "use_identity_overrides_in_local_eval"])
def test_the_recorded_document_has_none_nor_has_what_an_older_flagsmith_does_not_say(missing: str) -> None:
    assert warned() == ()
    body = recordings.document()
    del body[missing]
    assert parse_document(body).warnings == ()


def test_percentage_splits_without_consistent_hashing_are_a_warning() -> None:
    off: dict[str, Any] = {"use_identity_composite_key_for_hashing": False}
    plain: dict[str, Any] = {**off, "feature_states": without_variants()}
    assert warned(**off) == (OTHER_SPLITS,), "it has variants"
    assert warned(**plain, project={"segments": [segment("PERCENTAGE_SPLIT", "10")]}) == (OTHER_SPLITS,)
    assert warned(**plain, project={"segments": [segment("EQUAL", "10")]}) == ()


def test_identity_overrides_that_are_left_out_are_a_warning() -> None:
    assert warned(use_identity_overrides_in_local_eval=False) == (NO_OVERRIDES,)


def test_a_slow_regular_expression_is_a_warning_that_names_its_segment() -> None:
    [warning] = warned(project={"segments": [segment("REGEX", "^(a+)+$")]})
    assert "'^(a+)+$' of the segment 'Staff' may block a process" in warning
    assert warned(project={"segments": [segment("CONTAINS", "^(a+)+$"), segment("REGEX", "^a+$")]}) == ()

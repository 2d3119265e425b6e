"""What a document says about flags that will differ from those of Flagsmith's API, or may block a process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import shorten
from typing import Any

from ..compat import gettext_noop
from .backtracking import is_slow
from .document import Plain

MAX_PATTERN = 60  # characters that are shown of a regular expression

OTHER_SPLITS = gettext_noop(
    "Percentage splits put identities into other variants and segments than Flagsmith's API does: switch on "
    '"Use consistent hashing" in the environment\'s settings in Flagsmith.'
)
NO_OVERRIDES = gettext_noop(
    "Flagsmith leaves out the environment's identity overrides: switch on "
    '"Use identity overrides in local evaluation" in the environment\'s settings in Flagsmith.'
)


def find_warnings(body: Mapping[str, Any], document: Plain) -> Iterator[str]:
    """Yield a sentence for each thing, with what to do about it; `document` is the normalized body."""
    segments = document["project"]["segments"]
    conditions = [(segment["name"], condition) for segment in segments for condition in _conditions(segment["rules"])]
    states = [*document["feature_states"], *(state for segment in segments for state in segment["feature_states"])]
    has_splits = any("multivariate_feature_state_values" in state for state in states) or any(
        condition["operator"] == "PERCENTAGE_SPLIT" for _, condition in conditions
    )
    if body.get("use_identity_composite_key_for_hashing") is False and has_splits:
        yield OTHER_SPLITS
    if body.get("use_identity_overrides_in_local_eval") is False:
        yield NO_OVERRIDES
    for segment, condition in conditions:
        if condition["operator"] == "REGEX" and is_slow(pattern := str(condition["value"])):
            yield (
                f"The regular expression {shorten(pattern, MAX_PATTERN, placeholder='…')!r} of the segment {segment!r} "
                "may block a process when a trait is long: write it without a repetition inside a repetition."
            )


def _conditions(rules: list[Plain]) -> Iterator[Plain]:
    for rule in rules:
        yield from rule["conditions"]
        yield from _conditions(rule["rules"])

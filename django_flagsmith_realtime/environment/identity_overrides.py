"""Identity overrides as the segments that the SDK evaluates. Pure.

The SDK finds the overrides of an identity by Python's `hash`, and by comparing numbers: -1 and -2 are one value to it,
"042" is "42", and an override for "007" never applies. Flagsmith's API compares the whole text. So each set of
overrides becomes a segment that requires a trait, and only the identities that Flagsmith names get the trait.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from .document import Plain

TRAIT = "flagsmith-realtime:identity-overrides"
HAS_TRAIT = {"property_": TRAIT, "operator": "EQUAL"}
NAME = "identity_overrides"  # as in the SDK, which tells it in a flag's reason
FIRST = float("-inf")  # a priority before that of any segment, as in the SDK


def with_segments(document: Plain) -> tuple[Plain, Mapping[str, str]]:
    """Return a document that has segments in place of identity overrides, and the value of `TRAIT` by identifier."""
    overrides: dict[str, dict[str, Plain]] = {}
    for identity in document["identity_overrides"]:
        own = overrides.setdefault(identity["identifier"], {})
        for state in identity["identity_features"]:
            own.setdefault(state["feature"]["name"], state)
    sharing: dict[str, list[str]] = {}  # identifiers by their overrides as JSON, where 1 is neither 1.0 nor true
    for identifier, own in overrides.items():
        sharing.setdefault(json.dumps(sorted(own.items())), []).append(identifier)
    segments: list[Plain] = list(document["project"]["segments"])
    traits: dict[str, str] = {}
    for number, identifiers in enumerate(sharing.values(), start=1):
        trait = f"set {number}"
        traits |= dict.fromkeys(identifiers, trait)
        segments.append(
            {
                "id": -number,  # Flagsmith's own are positive
                "name": NAME,
                "rules": [{"type": "ALL", "rules": [], "conditions": [{**HAS_TRAIT, "value": trait}]}],
                "feature_states": [
                    {**state, "featurestate_uuid": "", "feature_segment": {"priority": FIRST}}
                    for state in overrides[identifiers[0]].values()
                ],
            }
        )
    return {**document, "project": {**document["project"], "segments": segments}, "identity_overrides": []}, traits

"""Environment documents of three sizes, the same in every run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Plain = dict[str, Any]

UPDATED_AT = "2026-11-22T18:39:46.{:06}+00:00"
SPLIT, SEGMENT, OVERRIDE = "flag_0001", "flag_0002", "flag_0003"  # decided by a percentage, a segment, an override
PLAIN = "flag_0000"  # the same for everybody
OVERRIDDEN = "user_00000"  # whose OVERRIDE is not the environment's
TRAITS = {"plan": "plan_0", "age": 30, "country": "NL"}  # of segment 0


@dataclass(frozen=True)
class Size:
    """How much an environment has."""

    name: str
    flags: int
    segments: int
    overrides: int

    def __str__(self) -> str:
        return f"{self.name}: {self.flags:,} flags, {self.segments} segments, {self.overrides:,} overrides"


SMALL, MEDIUM, LARGE = SIZES = (
    Size("small", 20, 4, 5),
    Size("medium", 100, 20, 50),
    Size("large", 1_000, 200, 2_000),
)


def make_body(size: Size, revision: int = 0) -> bytes:
    """Return a document as Flagsmith sends it; another revision has another value of PLAIN."""
    return json.dumps(make_document(size, revision), separators=(",", ":")).encode()


def make_document(size: Size, revision: int = 0) -> Plain:
    states = [_state(number, f"value {number}", enabled=number % 2 == 0) for number in range(size.flags)]
    states[0]["feature_state_value"] = f"revision {revision}"
    states[1]["multivariate_feature_state_values"] = [_variant(1, "a", 30.0), _variant(2, "b", 30.0)]
    return {
        "id": 1,
        "api_key": "benchmark-client-side",
        "name": "Benchmark",
        "updated_at": UPDATED_AT.format(revision),
        "project": {
            "id": 1,
            "name": "Benchmark",
            "organisation": {"id": 1, "name": "Northwind", "feature_analytics": False, "persist_trait_data": True},
            "hide_disabled_flags": False,
            "segments": [_segment(number, size) for number in range(size.segments)],
            "enable_realtime_updates": True,
            "server_key_only_feature_ids": [],
        },
        "feature_states": states,
        "identity_overrides": [_override(number, size) for number in range(size.overrides)],
    }


def _state(number: int, value: Any, enabled: bool, priority: int | None = None, of: int = 0) -> Plain:
    return {
        "feature": {"id": number + 1, "name": f"flag_{number:04}", "type": "STANDARD"},
        "enabled": enabled,
        "django_id": of * 10_000 + number + 1,
        "feature_segment": None if priority is None else {"priority": priority},
        "featurestate_uuid": f"{of:08x}-718c-47fb-9d68-{number:012x}",
        "feature_state_value": value,
        "multivariate_feature_state_values": [],
    }


def _variant(number: int, value: str, percentage: float) -> Plain:
    return {
        "id": number,
        "mv_fs_value_uuid": f"00000000-550b-4a8c-9d99-{number:012x}",
        "percentage_allocation": percentage,
        "multivariate_feature_option": {"id": number, "value": value},
    }


def _segment(number: int, size: Size) -> Plain:
    conditions = [
        {"operator": "EQUAL", "value": f"plan_{number}", "property_": "plan"},
        {"operator": "GREATER_THAN_INCLUSIVE", "value": "18", "property_": "age"},
        {"operator": "IN", "value": "DE,FR,NL,SE", "property_": "country"},
    ]
    rules = [{"type": "ALL", "rules": [], "conditions": conditions}]
    flag = 2 if number == 0 else number * 7 % (size.flags - 4) + 4  # the first four flags are what they say
    return {
        "id": number + 1,
        "name": f"segment_{number}",
        "rules": [{"type": "ALL", "rules": rules, "conditions": []}],
        "feature_states": [_state(flag, f"of segment {number}", enabled=True, priority=number, of=number + 1)],
    }


def _override(number: int, size: Size) -> Plain:
    flag = 3 if number == 0 else number * 3 % (size.flags - 4) + 4
    return {
        "identifier": f"user_{number:05}",
        "environment_api_key": "benchmark-client-side",
        "created_date": UPDATED_AT.format(number),
        "identity_features": [_state(flag, f"of group {number % 10}", enabled=True, of=1_000 + number)],
        "identity_traits": [],
        "identity_uuid": f"{number:08x}-dad7-48a3-8f2b-34ad6163ae33",
        "django_id": number + 1,
        "dashboard_alias": None,
        "composite_key": f"benchmark-client-side_user_{number:05}",
    }

"""Flags that don't come from Flagsmith: those of `DEFAULTS`, of tests and of hand-written files."""

from __future__ import annotations

from typing import Any

from flagsmith.models import Flag

DEFAULTS_REASON = "DEFAULTS"


def default_flag(name: str, form: Any) -> Flag:
    """Return a flag from one of the forms of `DEFAULTS`: a bool, a value, or {"enabled": bool, "value": value}."""
    given = form if isinstance(form, dict) else {"enabled": form} if isinstance(form, bool) else {"value": form}
    return Flag(
        given.get("enabled", True),
        given.get("value"),
        feature_id=0,
        feature_name=name,
        reason=DEFAULTS_REASON,
        is_default=True,
    )

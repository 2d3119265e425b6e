"""Flags that don't come from Flagsmith: those of `DEFAULTS`, of tests and of hand-written files, and unknown ones."""

from __future__ import annotations

from typing import Any

from flagsmith.models import Flag

DEFAULTS_REASON = "DEFAULTS"
UNKNOWN_REASON = "ERROR; code=FLAG_NOT_FOUND"


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


def unknown_flag(name: str) -> Flag:
    """Return the flag for a name that neither Flagsmith nor `DEFAULTS` has: off, without a value."""
    return Flag(False, None, feature_id=0, feature_name=name, reason=UNKNOWN_REASON, is_default=True)

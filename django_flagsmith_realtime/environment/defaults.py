"""Flags that Flagsmith does not say: the forms in which settings and tests give them."""

from __future__ import annotations

from typing import Any

from flagsmith.models import Flag

DEFAULTS_REASON = "DEFAULTS"
UNKNOWN_REASON = "ERROR; code=FLAG_NOT_FOUND"


def default_flag(name: str, form: Any) -> Flag:
    """Return the flag that one of the three forms of `DEFAULTS` means."""
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
    """Return what a flag is that nobody knows: off."""
    return Flag(False, None, feature_id=0, feature_name=name, reason=UNKNOWN_REASON, is_default=True)

"""What the admin page's templates need, and no others."""

from __future__ import annotations

import time
from datetime import datetime

from django import template

from ..snapshots.durations import ago

register = template.Library()


@register.filter(name="ago")
def ago_filter(at: datetime) -> str:
    """Return how long ago something was, as the status tells it."""
    return ago(time.time() - at.timestamp())

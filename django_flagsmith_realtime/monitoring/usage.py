"""When flags were last read, and how often: for the admin page, the toolbar's panel and `flagsmith_flags`."""

from __future__ import annotations

from contextlib import suppress

from django.utils.translation import gettext as _

from ..conf import Config
from ..exceptions import StoreError
from ..storage.store import Store
from ..storage.usage import Usage
from .formatting import format_age, format_number


def read_usage(config: Config, store: Store) -> Usage | None:
    """Return what the leader has counted; None where `USAGE` is off, or nothing can be read."""
    with suppress(StoreError):
        return store.read_usage() if config.reports_usage else None
    return None


def describe_usage(usage: Usage, name: str, now: float) -> str:
    """Return when a flag was last read, and how often a day in the last week."""
    age, per_day = format_age(now - usage.idle_since(name)), usage.reads_per_day(name, now)
    if name not in usage.flags:
        return _("not read since counting began {age}").format(age=age)
    text = _("last read {age}").format(age=age)
    if per_day:
        text += ", " + _("{count} reads a day").format(count=format_number(per_day, 0 if per_day >= 10 else 1))
    return text

"""What the page shows, as a template's context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest
from flagsmith.models import Flag

from ..api import Flags, get_flags
from ..conf import get_config
from ..environment.overview import list_flags, show_value
from ..exceptions import StoreError
from ..monitoring.health import Health, check_health
from ..monitoring.status_text import status_rows
from ..reading import overrides
from ..reading.reader import get_reader
from ..storage.history import PastChange
from .forms import FilterForm, IdentityForm
from .listing import list_with_changes, show_changes

PER_PAGE = 100


@dataclass(frozen=True)
class Tried:
    """A flag as an identity has it."""

    flag: Flag
    value: str


@dataclass(frozen=True)
class Trial:
    """The flags of an identity: those that it has for its own, and those that it shares with everybody."""

    own: list[Tried]
    shared: list[Tried]

    @property
    def count(self) -> int:
        return len(self.own) + len(self.shared)


def look(request: HttpRequest) -> dict[str, Any]:
    """Return all that a request asks for."""
    health = _examine()
    changes = show_changes(_read_history(), health.now)
    everybodys = get_flags(request, identity=None)
    snapshot = everybodys.snapshot
    flags = list_flags(snapshot.environment.read_document()) if snapshot else []
    filters = FilterForm(request.GET)
    trial = IdentityForm(request.POST if request.method == "POST" else None)
    return {
        **_tell(health),
        "filters": filters,
        "count": len(flags),
        "page": Paginator(filters.select(list_with_changes(flags, changes)), PER_PAGE).get_page(request.GET.get("p")),
        "changes": changes,
        "is_overridden": bool(overrides.entered),
        "trial": trial,
        "tried": _try(get_flags(request, identity=trial.identity), everybodys) if trial.is_valid() else None,
    }


def tell_status() -> dict[str, Any]:
    """Return the status, and the version that is published."""
    return _tell(_examine())


def _examine() -> Health:
    config = get_config()
    return check_health(config, get_reader(config).store)


def _read_history() -> list[PastChange]:
    try:
        return get_reader(get_config()).store.read_history()
    except StoreError:  # the status tells
        return []


def _tell(health: Health) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []
    for row in status_rows(health):
        if row.label:
            lines.append({"label": row.label, "parts": []})
        lines[-1]["parts"].append({"mark": row.mark, "level": row.level, "text": row.text})
    return {"version": health.head.version if health.head else "", "status": lines}


def _try(flags: Flags, everybodys: Flags) -> Trial:
    own: list[Tried] = []
    shared: list[Tried] = []
    for name in sorted(flags):
        flag, other = flags.get_flag(name), everybodys.get_flag(name)
        differs = (flag.enabled, flag.value) != (other.enabled, other.value)
        (own if differs else shared).append(Tried(flag, show_value(flag.value)))
    return Trial(own, shared)

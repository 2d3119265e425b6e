"""The content of the page, as a template's context."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest

from ..api import get_flags
from ..conf import get_config
from ..environment.overview import describe_flags, show_value
from ..exceptions import StoreError
from ..identity import Identity
from ..monitoring.dashboard import flag_url
from ..monitoring.formatting import format_age, format_local
from ..monitoring.health import Health, check_health
from ..monitoring.status_text import status_rows
from ..monitoring.usage import describe_usage, read_usage
from ..reading import overrides
from ..reading.reader import get_reader
from .forms import FilterForm, IdentityForm

PER_PAGE = 100  # flags, as many as Django's own change lists have


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Return the context of the whole page."""
    config = get_config()
    store = get_reader(config).store
    health = check_health(config, store)
    try:
        history = store.read_history()  # the newest first
    except StoreError:  # the status shows this error
        history = []
    changes: list[dict[str, Any]] = [
        {"change": change, "age": format_age(health.now - change.published_at / 1_000_000)} for change in history
    ]
    last = {row["change"].name: row for row in reversed(changes)}
    snapshot = get_flags(request, identity=None).snapshot
    flags = describe_flags(snapshot.environment.read_document()) if snapshot else {}
    usage = read_usage(config, store)
    rows = [
        {
            "flag": flag,
            "url": flag_url(config, snapshot, name),
            "last": last.get(name),
            "usage": usage and describe_usage(usage, name, health.now),
            "idle_seconds": health.now - usage.idle_since(name) if usage else 0.0,
        }
        for name, flag in flags.items()
    ]
    filters = FilterForm(request.GET)
    if not usage:
        filters.leave_out("unread")
    form = IdentityForm(request.POST if request.method == "POST" else None)
    return {
        **status_context(health),
        "filters": filters,
        "count": len(rows),
        "page": Paginator(filters.select(rows), PER_PAGE).get_page(request.GET.get("p")),
        "changes": changes,
        "is_overridden": overrides.are_active(),
        "identity_form": form,
        "evaluation": evaluate(request, form.identity) if form.is_valid() else None,
    }


def status_context(health: Health | None = None) -> dict[str, Any]:
    """Return the published version and the lines of the status, as `flagsmith_status` shows them."""
    if health is None:
        config = get_config()
        health = check_health(config, get_reader(config).store)
    lines: list[dict[str, Any]] = []
    for row in status_rows(health, format_local):
        if row.label:
            lines.append({"label": row.label, "parts": []})
        lines[-1]["parts"].append({"mark": row.mark, "level": row.level, "text": row.text})
    return {"version": health.head.version if health.head else "", "status": lines}


def evaluate(request: HttpRequest, identity: Identity) -> dict[str, Any]:
    """Return the rows of an identity's flags: those that differ from the environment's, and the others."""
    flags, environment_flags = get_flags(request, identity=identity), get_flags(request, identity=None)
    own: list[dict[str, Any]] = []
    shared: list[dict[str, Any]] = []
    for name in sorted(flags):
        flag, other = flags.find(name), environment_flags.find(name)  # observers count what the project reads
        differs = (flag.enabled, flag.value) != (other.enabled, other.value)
        (own if differs else shared).append({"flag": flag, "value": show_value(flag.value)})
    return {"own": own, "shared": shared, "count": len(flags)}

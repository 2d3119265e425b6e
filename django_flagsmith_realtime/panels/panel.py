"""The panel: which flags a request read, where in the project, and why they have their values."""

from __future__ import annotations

from collections import Counter
from typing import Any

from debug_toolbar.panels import Panel
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..conf import get_config
from ..environment.snapshot import Snapshot
from ..environment.timestamps import to_datetime
from ..identity import UNSET, Identity, IdentityOrUnset
from ..monitoring.dashboard import flag_url
from ..monitoring.formatting import format_age, format_local, format_value
from ..monitoring.health import check_health
from ..monitoring.usage import describe_usage, read_usage
from ..reading.reader import get_reader
from ..reading.scope import request_flags
from .observed import Observation, PlacedRead

NOBODY = "nobody"  # recorded for the environment's flags, and translated when it is shown


class FlagsmithPanel(Panel):
    """Shows which flags a request read; it records reads only of requests that the toolbar handles."""

    title = nav_title = gettext_lazy("Feature flags")
    nav_icon = "django_flagsmith_realtime/panel.svg"  # type: ignore[assignment]
    template = "django_flagsmith_realtime/panel.html"
    is_async = True

    def enable_instrumentation(self) -> None:
        self._observation = Observation(request_flags(self.toolbar.request))

    def generate_stats(self, request: HttpRequest, response: HttpResponseBase) -> None:
        self.record_stats(
            {
                "flags": tabulate(self._observation),
                "snapshot": describe(self._observation.snapshot),
                "identity": name_with_traits(self._observation.identity),
                "cache_reads": self._observation.cache_reads,
            }
        )

    @property
    def nav_subtitle(self) -> str:
        stats = self.get_stats()
        names = {row["name"] for row in stats["flags"]}
        if not names:
            return _("none read")
        text = ngettext("%(count)s flag", "%(count)s flags", len(names)) % {"count": len(names)}
        if stats["snapshot"]:
            text += ", " + _("version {version}").format(version=stats["snapshot"]["version"])
        return text

    @property
    def content(self) -> str:
        """The panel's page: the recorded reads, and the health and usage of the deployment at the moment."""
        config, store, stats = get_config(), get_reader().store, self.get_stats()
        health, usage = check_health(config, store), read_usage(config, store)
        known = None if health.age is None else format_age(health.age)
        if snapshot := stats["snapshot"]:
            dates = {name: to_datetime(snapshot[name]) for name in ("updated_at", "published_at")}
            shown = {
                name: f"{format_local(at)}, {format_age(health.now - at.timestamp())}" for name, at in dates.items()
            }
            stats = {**stats, "snapshot": {**snapshot, **shown}}
        if usage:
            rows = [
                {**row, "usage": describe_usage(usage, row["name"], health.now) if row["name"] in usage.flags else ""}
                for row in stats["flags"]
            ]
            stats = {**stats, "flags": rows, "usage": usage}
        return render_to_string(self.template, {**stats, "health": health, "known": known})


def tabulate(observation: Observation) -> list[dict[str, Any]]:
    """Return a row for each flag and identity, those of the request's own identity first."""
    groups: dict[tuple[str, str], list[PlacedRead]] = {}
    for each in observation.reads:
        key = each.read.flag.feature_name, name_briefly(observation.identity_of(each.read))
        groups.setdefault(key, []).append(each)
    rows, config, snapshot = [], get_config(), observation.snapshot
    for (name, identity), group in groups.items():
        flag = group[-1].read.flag
        places = Counter(each.place for each in group)
        row = {
            "name": name,
            "url": flag_url(config, snapshot, name),
            "enabled": flag.enabled,
            "value": format_value(flag.value),
            "variant": flag.variant,
            "reason": flag.reason,
            "identity": identity,
            "count": len(group),
            "places": [{"place": place, "count": count} for place, count in places.items()],
        }
        rows.append(row)
    own = name_briefly(observation.identity)
    return sorted(rows, key=lambda row: row["identity"] != own)


def describe(snapshot: Snapshot | None) -> dict[str, Any] | None:
    """Return a snapshot's version, environment and dates, in microseconds."""
    if snapshot is None:
        return None
    return {
        "version": snapshot.version[:8],
        "environment": snapshot.environment.name,
        "updated_at": snapshot.head.updated_at,
        "published_at": snapshot.head.published_at,
    }


def name_briefly(identity: IdentityOrUnset) -> str:
    """Return an identifier: "nobody" for the environment's flags, "" where no read has asked yet."""
    return "" if identity is UNSET else identity.identifier if identity else NOBODY


def name_with_traits(identity: IdentityOrUnset) -> str:
    """Return an identifier with the traits; "" where no read has asked yet."""
    traits = [f"{key} = {trait!r}" for key, trait in identity.traits.items()] if isinstance(identity, Identity) else []
    return ", ".join([name_briefly(identity), *traits])

"""What users would have instead, each filled with the same flags."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any

from flagsmith import Flagsmith

from .documents import Plain


@dataclass(frozen=True)
class Offline:
    """Gives the official SDK a document, as its polling or its stream would."""

    document: Plain

    def get_environment(self) -> Any:
        return self.document


def flagsmith_sdk(document: Plain) -> Flagsmith:
    """Return the official SDK, which evaluates as it does with `enable_local_evaluation`."""
    return Flagsmith(offline_mode=True, offline_handler=Offline(document))


def launchdarkly_client(document: Plain) -> Any:
    """Return LaunchDarkly's client, fed by its test data source."""
    from ldclient import Config, LDClient
    from ldclient.integrations.test_data import TestData

    source = TestData.data_source()
    for name, enabled in _flags(document):
        source.update(source.flag(name).variation_for_all(enabled))
    return LDClient(Config("benchmark", update_processor_class=source, send_events=False))


def launchdarkly_context() -> Any:
    from ldclient import Context

    return Context.create("somebody")


def unleash(document: Plain) -> Any:
    """Return Unleash's client, bootstrapped."""
    from UnleashClient import UnleashClient
    from UnleashClient.cache import FileCache

    cache = FileCache("benchmark", tempfile.mkdtemp())
    toggles = [_toggle(name, enabled) for name, enabled in _flags(document)]
    cache.bootstrap_from_dict({"version": 1, "features": toggles})
    client = UnleashClient(
        "http://127.0.0.1:9/api",
        "benchmark",
        cache=cache,
        refresh_interval=86_400,
        disable_metrics=True,
        disable_registration=True,
    )
    client.initialize_client(fetch_toggles=False)
    return client


def _toggle(name: str, enabled: bool) -> Plain:
    strategies = [{"name": "default", "parameters": {}}]
    return {"name": name, "type": "release", "enabled": enabled, "strategies": strategies}


def fill_waffle(document: Plain) -> None:
    from waffle.models import Flag

    Flag.objects.all().delete()
    for name, enabled in _flags(document):
        Flag.objects.create(name=name, everyone=enabled)


def fill_django_flags(document: Plain) -> None:
    from flags.models import FlagState

    FlagState.objects.all().delete()
    FlagState.objects.bulk_create(
        FlagState(name=name, condition="boolean", value=str(enabled)) for name, enabled in _flags(document)
    )


def _flags(document: Plain) -> list[tuple[str, bool]]:
    return [(state["feature"]["name"], state["enabled"]) for state in document["feature_states"]]

"""System check of the environment in Flagsmith, as the listener last found it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress

from django.core.checks import CheckMessage, Warning

from ..conf import Config
from ..exceptions import StoreError
from ..storage.backends import find_missing_cache
from ..storage.store import Store
from .registry import checks_config


@checks_config(deploy=True)  # not with each command: it reads the cache
def find_environment_warnings(config: Config) -> Iterator[CheckMessage]:
    """Warn of what makes flags differ from those of Flagsmith's API, or may block a process."""
    if find_missing_cache(config.cache):
        return
    status = None
    with closing(Store(config.cache, config.namespace)) as store, suppress(StoreError):
        status = store.read_status()
    for warning in status.warnings if status else ():
        yield Warning(
            warning,
            hint="See docs/local-evaluation.md. If this is intended, add flagsmith.W021 to SILENCED_SYSTEM_CHECKS.",
            id="flagsmith.W021",
        )

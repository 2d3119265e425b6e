"""Where a flag is found in Flagsmith's dashboard."""

from __future__ import annotations

from urllib.parse import quote

from ..conf import Config, is_saas
from ..environment.snapshot import Snapshot

SAAS_DASHBOARD = "https://app.flagsmith.com/"


def flag_url(config: Config, snapshot: Snapshot | None, name: str) -> str:
    """Return the URL of a flag's page; "" where it isn't known, as of a flag that doesn't come from Flagsmith."""
    dashboard = config.dashboard_url or (SAAS_DASHBOARD if is_saas(config.api_url) else None)
    environment = snapshot.environment if snapshot and config.environment_key else None
    flag = environment.flags.get(name) if environment else None
    if not (dashboard and environment and environment.project_id and flag):
        return ""
    # As Flagsmith's API writes it into issues on GitHub (integrations/github). The key is the client-side one.
    place = f"project/{environment.project_id}/environment/{quote(environment.api_key, safe='')}"
    return f"{dashboard}{place}/features?feature={flag.feature_id}"

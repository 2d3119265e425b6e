"""System checks of the admin page."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.contrib.auth import get_permission_codename
from django.core.checks import CheckMessage, Warning

from ..conf import Config
from .registry import checks_config


@checks_config()
def find_unknown_permission(config: Config) -> Iterator[CheckMessage]:
    """Warn of a permission that no model declares."""
    permission = config.admin_permission
    if permission and permission not in _permissions():
        yield Warning(
            f"FLAGSMITH['ADMIN_PERMISSION'] is {permission!r}, which no model of an installed app declares: "
            "if it doesn't exist, only superusers see the admin page.",
            hint="Correct its name: an app's label, a dot, and a codename such as view_order. If a migration or an "
            "authentication backend of your own creates it, silence this check.",
            id="flagsmith.W019",
        )


def _permissions() -> Iterator[str]:
    for model in apps.get_models():
        options = model._meta
        for action in options.default_permissions:
            yield f"{options.app_label}.{get_permission_codename(action, options)}"
        for codename, _ in options.permissions:
            yield f"{options.app_label}.{codename}"

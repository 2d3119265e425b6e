"""System checks of `FlagsmithMiddleware` and its place in `MIDDLEWARE`.

`IDENTITY` is called when a request first reads a flag, so the order matters only for middleware that reads flags before
the user is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.utils.module_loading import import_string

from ..conf import Config
from ..identity import from_user
from .setting import checks_config

OURS = "django_flagsmith_realtime.middleware.FlagsmithMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
FROM_USER = "django_flagsmith_realtime.identity.from_user"
PANEL = "django_flagsmith_realtime.panels.FlagsmithPanel"


def _position(name: str) -> int | None:
    """Return the index of a middleware, or of a subclass of it, in `MIDDLEWARE`."""
    for place, path in enumerate(settings.MIDDLEWARE):
        with suppress(Exception):  # a path that can't be imported is Django's to report
            if path == name or issubclass(import_string(path), import_string(name)):
                return place
    return None


@checks_config()
def find_missing_middleware(config: Config) -> Iterator[CheckMessage]:
    """Warn of an `IDENTITY` that `get_flags()` can't find, for want of the middleware."""
    if config.identity and _position(OURS) is None:
        yield Warning(
            "FLAGSMITH['IDENTITY'] is set, but FlagsmithMiddleware is not in MIDDLEWARE: "
            "get_flags() without the request gives the environment's flags.",
            hint=f'Add "{OURS}" at the end of MIDDLEWARE.',
            id="flagsmith.W010",
        )


@checks_config()
def find_missing_authentication(config: Config) -> Iterator[CheckMessage]:
    """Warn of `from_user` in a project without `request.user`."""
    if config.identity in (FROM_USER, from_user) and _position(AUTHENTICATION) is None:
        yield Warning(
            "FLAGSMITH['IDENTITY'] reads request.user, but AuthenticationMiddleware is not in MIDDLEWARE.",
            hint=f'Add "{AUTHENTICATION}" to MIDDLEWARE, or write an IDENTITY of your own.',
            id="flagsmith.W011",
        )


@checks_config()
def find_early_middleware(config: Config) -> Iterator[CheckMessage]:
    """Warn of a project's middleware that may read flags before `AuthenticationMiddleware` sets the user."""
    ours, authentication = _position(OURS), _position(AUTHENTICATION)
    if not config.identity or ours is None or authentication is None or ours > authentication:
        return
    between = [path for path in settings.MIDDLEWARE[ours + 1 : authentication] if not path.startswith("django.")]
    if between:
        yield Warning(
            f"{between[0]} stands between FlagsmithMiddleware and AuthenticationMiddleware: if it reads a flag, "
            "IDENTITY is called before there is a user, and the whole request keeps the identity that it returns.",
            hint="Move FlagsmithMiddleware below AuthenticationMiddleware.",
            id="flagsmith.W012",
        )


@checks_config()
def find_blind_panel(config: Config) -> Iterator[CheckMessage]:
    """Warn of a debug toolbar whose panel doesn't see all reads."""
    if PANEL in getattr(settings, "DEBUG_TOOLBAR_PANELS", ()) and _position(OURS) is None:
        yield Warning(
            "DEBUG_TOOLBAR_PANELS names FlagsmithPanel, but FlagsmithMiddleware is not in MIDDLEWARE: "
            "the panel does not see what get_flags() reads without the request.",
            hint=f'Add "{OURS}" at the end of MIDDLEWARE.',
            id="flagsmith.W020",
        )

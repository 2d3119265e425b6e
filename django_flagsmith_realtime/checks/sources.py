"""System checks of where the flags come from, and of who announces their changes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import InvalidCacheBackendError
from django.core.checks import CheckMessage, Info, Tags, Warning
from django.urls import get_resolver

from ..conf import SAAS, Config, host_of, is_saas
from ..exceptions import SnapshotFileError, StoreError
from ..storage.snapshot_file import EXAMPLE, read_snapshot_file
from ..storage.store import Store
from .setting import checks_config

SECRET_CHARACTERS = 16  # more than anybody guesses: each request may try one
URLS = {  # the name of a URL that a key is for, the module that has it, and what happens without it
    "WEBHOOK_SECRET": ("flagsmith-webhook", "urls", "what Flagsmith posts gets the answer 404"),
    "REALTIME_TOKEN": ("flagsmith-queue-change", "urls", "what Flagsmith posts gets the answer 404"),
    "BROWSER_FLAGS": ("flagsmith-ofrep-flags", "live.urls", "no page can ask for them"),
}


def _is_loopback(url: str) -> bool:
    host = host_of(url)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return f".{host}".endswith(".localhost")


@checks_config()
def find_foreign_stream(config: Config) -> Iterator[CheckMessage]:
    """Warn of a self-hosted API whose changes the stream of flagsmith.com is expected to announce."""
    is_foreign = config.realtime_url and is_saas(config.realtime_url) and not is_saas(config.api_url)
    if config.environment_key and is_foreign:
        yield Warning(
            f"FLAGSMITH['API_URL'] is your own ({host_of(config.api_url)}), but the stream is that of {SAAS}, "
            "which does not announce your changes.",
            hint="Set REALTIME_URL to your own stream service, or to None; then a webhook announces changes "
            "(WEBHOOK_SECRET), and polls find the rest every FALLBACK_POLL_INTERVAL seconds: 60 by default, 43,200 "
            "requests a month. Nothing bills them on your own Flagsmith, so 10 is fine there. "
            f'If API_URL is a proxy of {SAAS}, list "flagsmith.W008" in SILENCED_SYSTEM_CHECKS.',
            id="flagsmith.W008",
        )


@checks_config()
def find_no_source(config: Config) -> Iterator[CheckMessage]:
    """Tell who hosts Flagsmith, and lets nothing announce its changes, that a webhook does."""
    is_announced = config.realtime_url or config.webhook_secret or config.realtime_token
    if config.environment_key and not is_announced and not is_saas(config.api_url):
        yield Info(
            "Nothing announces changes of flags: they are found by a poll every "
            f"{config.fallback_poll_interval:g} s (FALLBACK_POLL_INTERVAL).",
            hint="Let a webhook of Flagsmith's announce them within a second or two: set WEBHOOK_SECRET, see "
            'docs/howto/without-enterprise.md. If polls are enough, list "flagsmith.I001" in SILENCED_SYSTEM_CHECKS.',
            id="flagsmith.I001",
        )


@checks_config(Tags.urls)
def find_missing_urls(config: Config) -> Iterator[CheckMessage]:
    """Warn of a key for a view that no URL leads to."""
    patterns = get_resolver().url_patterns if getattr(settings, "ROOT_URLCONF", None) else ()
    for key, (name, module, consequence) in URLS.items():
        if getattr(config, key.lower()) and not _has_url(name, patterns):
            yield Warning(
                f"FLAGSMITH[{key!r}] is set, but no URL of {name!r} is in ROOT_URLCONF: {consequence}.",
                hint=f'Add path("flagsmith/", include("django_flagsmith_realtime.{module}")) to urlpatterns. If the '
                'URLs are in another URLconf, list "flagsmith.W025" in SILENCED_SYSTEM_CHECKS.',
                id="flagsmith.W025",
            )


def _has_url(name: str, patterns: Iterable[Any]) -> bool:
    """Return whether a view has a URL, in a namespace or not."""
    return any(
        getattr(pattern, "name", None) == name or _has_url(name, getattr(pattern, "url_patterns", ()))
        for pattern in patterns
    )


@checks_config(Tags.security, deploy=True)
def find_short_secret(config: Config) -> Iterator[CheckMessage]:
    """Warn of a secret that can be guessed."""
    secrets = {"WEBHOOK_SECRET": config.webhook_secret, "REALTIME_TOKEN": config.realtime_token}
    for key, secret in secrets.items():
        if secret and len(secret) < SECRET_CHARACTERS:
            yield Warning(
                f"FLAGSMITH[{key!r}] has fewer than {SECRET_CHARACTERS} characters: who guesses it can have the flags "
                "fetched again and again.",
                hint='Use a random one: python -c "import secrets; print(secrets.token_urlsafe(32))".',
                id="flagsmith.W024",
            )


@checks_config(Tags.security, deploy=True)
def find_plain_http(config: Config) -> Iterator[CheckMessage]:
    """Warn of unencrypted requests to another machine."""
    urls: dict[str, tuple[str | None, str]] = {}
    if config.environment_key:
        urls["API_URL"] = config.api_url, "read the environment key and the flags"
        urls["REALTIME_URL"] = config.realtime_url, "read the stream's key"
    if config.hub:
        urls["HUB"] = config.hub["PUBLISH_URL"], "send all open pages what makes them ask for their flags"
    for key, (url, harm) in urls.items():
        if url and urlsplit(url).scheme == "http" and not _is_loopback(url):
            yield Warning(
                f"FLAGSMITH[{key!r}] is plain http: everyone on the way to {host_of(url)} can {harm}.",
                hint='Use https. If the network is private, list "flagsmith.W009" in SILENCED_SYSTEM_CHECKS.',
                id="flagsmith.W009",
            )


@checks_config(deploy=True)  # not with each command: it reads the cache
def find_environment_warnings(config: Config) -> Iterator[CheckMessage]:
    """Warn of what makes flags differ from those of Flagsmith's API, or may block a process."""
    # A cache that isn't in CACHES, or doesn't answer, is for other checks to report.
    with suppress(InvalidCacheBackendError, StoreError), closing(Store(config.cache, config.namespace)) as store:
        status = store.read_status()
        for warning in status.warnings if status else ():
            yield Warning(
                warning,
                hint="See docs/explanation/local-evaluation.md. If this is intended, add flagsmith.W021 to "
                "SILENCED_SYSTEM_CHECKS.",
                id="flagsmith.W021",
            )


@checks_config(Tags.security, deploy=True)
def find_invisible_flags(config: Config) -> Iterator[CheckMessage]:
    """Warn of names in `BROWSER_FLAGS` of which no page gets a flag."""
    if not config.browser_flags or config.browser_flags == "all":
        return
    with suppress(InvalidCacheBackendError, StoreError), closing(Store(config.cache, config.namespace)) as store:
        head = store.read_head()
        environment = store.read_environment(head.sequence) if head else None
        known = {**environment.flags, **config.defaults} if environment else config.browser_flags
        hidden = environment.server_key_only if environment else frozenset()
        for name in sorted(name for name in config.browser_flags if name in hidden or name not in known):
            why = (
                "Flagsmith marks it as server-side only"
                if name in hidden
                else "neither Flagsmith nor DEFAULTS knows it"
            )
            yield Warning(
                f"FLAGSMITH['BROWSER_FLAGS'] names {name!r}, which no page gets: {why}.",
                hint="Correct the name, or take it out.",
                id="flagsmith.W026",
            )


@checks_config(Tags.files)
def find_relative_path(config: Config) -> Iterator[CheckMessage]:
    """Warn of a relative path, which depends on where a process is started."""
    if config.snapshot_file and not config.snapshot_file.is_absolute():
        yield Warning(
            f"FLAGSMITH['SNAPSHOT_FILE'] is {str(config.snapshot_file)!r}, a relative path: processes that start in "
            "different directories use different files.",
            hint=f'Write the whole path: BASE_DIR / "{config.snapshot_file}".',
            id="flagsmith.W013",
        )


@checks_config(Tags.files)
def find_unusable_file(config: Config) -> Iterator[CheckMessage]:
    """Warn of a file that the listener can't replace, or can't read where it is the source of the flags."""
    path = config.snapshot_file
    if path and config.environment_key and (path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK)):
        yield Warning(
            f"FLAGSMITH['SNAPSHOT_FILE'] can't be written: {path}.",
            hint=f"Create the directory {path.parent} and make it writable for the user that runs the listener."
            if not path.is_dir()
            else "Name a file in that directory.",
            id="flagsmith.W014",
        )
    if path and not config.environment_key:
        try:
            read_snapshot_file(path)
        except SnapshotFileError as error:
            yield Warning(
                f"{error} Without ENVIRONMENT_KEY the flags come from this file.",
                hint=f"Write flags there, for instance {EXAMPLE}, or set ENVIRONMENT_KEY.",
                id="flagsmith.W015",
            )


@checks_config(Tags.files, Tags.security, deploy=True)
def find_public_file(config: Config) -> Iterator[CheckMessage]:
    """Warn of a file that everybody on the machine can read: it has the identities of overrides."""
    path = config.snapshot_file
    if path and path.is_file() and path.stat().st_mode & stat.S_IROTH:
        yield Warning(
            f"FLAGSMITH['SNAPSHOT_FILE'] can be read by everybody on this machine: {path}. It may hold personal data.",
            hint=f"chmod o-r {path}",
            id="flagsmith.W016",
        )

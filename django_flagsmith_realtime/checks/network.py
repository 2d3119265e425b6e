"""System checks of the addresses in `FLAGSMITH`."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.core.checks import CheckMessage, Tags, Warning

from ..conf import Config
from .registry import checks_config

SAAS = "flagsmith.com"


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".")


def _is_saas(url: str) -> bool:
    return f".{_host(url)}".endswith(f".{SAAS}")


def _is_loopback(url: str) -> bool:
    host = _host(url)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return f".{host}".endswith(".localhost")


@checks_config()
def find_foreign_stream(config: Config) -> Iterator[CheckMessage]:
    """Warn of a self-hosted API whose changes the stream of flagsmith.com is expected to announce."""
    is_foreign = config.realtime_url and _is_saas(config.realtime_url) and not _is_saas(config.api_url)
    if config.environment_key and is_foreign:
        yield Warning(
            f"FLAGSMITH['API_URL'] is your own ({_host(config.api_url)}), but the stream is that of {SAAS}, "
            "which does not announce your changes.",
            hint="Set REALTIME_URL to your own stream service, or to None, which polls every POLL_INTERVAL seconds. "
            f'If API_URL is a proxy of {SAAS}, list "flagsmith.W008" in SILENCED_SYSTEM_CHECKS.',
            id="flagsmith.W008",
        )


@checks_config(Tags.security, deploy=True)
def find_plain_http(config: Config) -> Iterator[CheckMessage]:
    """Warn of unencrypted requests to another machine."""
    urls = {"API_URL": config.api_url, "REALTIME_URL": config.realtime_url} if config.environment_key else {}
    for key, url in urls.items():
        if url and urlsplit(url).scheme == "http" and not _is_loopback(url):
            read = "the environment key and the flags" if key == "API_URL" else "the stream's key"
            yield Warning(
                f"FLAGSMITH[{key!r}] is plain http: everyone on the way to {_host(url)} can read {read}.",
                hint='Use https. If the network is private, list "flagsmith.W009" in SILENCED_SYSTEM_CHECKS.',
                id="flagsmith.W009",
            )

"""The `FLAGSMITH` setting as one typed, immutable object."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.functional import cached_property
from django.views.decorators.debug import sensitive_variables

logger = logging.getLogger(__name__)

SERVER_KEY_HINT = (
    "Create a server-side key in Flagsmith under your environment's SDK Keys "
    '("Server-side Environment Keys"); it starts with "ser.".'
)
WITHOUT_ACCOUNT = 'To try without an account, name a file in SNAPSHOT_FILE that says {"flags": {"new_checkout": true}}.'
SAAS = "flagsmith.com"
PLACEHOLDER = "ser.…"  # a key as the documentation writes it
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # the name of a header: RFC 9110, 5.6.2
USERINFO = re.compile(r"//[^\s'\"]*@")  # in a URL, also in one that isn't valid
SCALAR = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Expected:
    """Which values a key accepts, and the words for them in an error."""

    accepts: Callable[[Any], bool]
    words: str

    def or_none(self) -> Expected:
        return Expected(lambda value: value is None or self.accepts(value), f"{self.words}, or None")


def _seconds(minimum: float, *, exclusive: bool = False, why: str = "") -> Expected:
    def accepts(value: object) -> bool:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        return (value > minimum if exclusive else value >= minimum) and value <= threading.TIMEOUT_MAX

    return Expected(accepts, f"a number of seconds{' above' if exclusive else ', at least'} {minimum:g}{why}")


def _is_url(value: object) -> bool:
    if not isinstance(value, str) or not value.isprintable() or set(value) & set(" ?#"):
        return False
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_for_pages(url: object) -> bool:
    return isinstance(url, str) and re.fullmatch(r"(/(?!/)|https?://)[!-~]+", url) is not None


def _is_header_text(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()


def _is_headers(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and TOKEN.fullmatch(name) and _is_header_text(text) for name, text in value.items()
    )


def _is_hub(value: object) -> bool:
    if not isinstance(value, Mapping) or value.keys() != {"PUBLISH_URL", "SUBSCRIBE_URL"}:
        return False
    return _is_url(value["PUBLISH_URL"]) and _is_for_pages(value["SUBSCRIBE_URL"])


def _is_scalar(value: object) -> bool:
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, SCALAR)  # JSON has no NaN


def _is_default(value: object) -> bool:
    if not isinstance(value, dict):
        return _is_scalar(value)
    is_flag = bool(value) and value.keys() <= {"enabled", "value"}
    return is_flag and isinstance(value.get("enabled", True), bool) and _is_scalar(value.get("value"))


def _is_defaults(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and _is_default(default) for name, default in value.items()
    )


def _is_names(value: object) -> bool:
    return value == "all" or (
        isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(name, str) and name for name in value)
    )


KEY = Expected(lambda value: _is_header_text(value) and value != "", "a non-empty string without spaces around it")
SECRET = Expected(  # "" as well: what `os.environ.get("KEY", "")` returns is missing, not wrong
    lambda value: value == "" or KEY.or_none().accepts(value), KEY.or_none().words
)
TEXT = Expected(lambda value: isinstance(value, str) and value != "", "a non-empty string")
PATH = Expected(lambda value: TEXT.accepts(value) or isinstance(value, Path), "the path of a file")
URL = Expected(_is_url, 'an absolute URL such as "https://flagsmith.example.com/api/v1/"')
PERMISSION = Expected(
    lambda value: isinstance(value, str) and re.fullmatch(r"\w+\.\S+", value) is not None,
    'a permission such as "shop.see_flags"',
)
BOOL = Expected(lambda value: isinstance(value, bool), "True or False")
LISTENERS = Expected(lambda value: value in ("command", "inline"), '"command" or "inline"')
PATHS = Expected(
    lambda value: isinstance(value, (list, tuple)) and all(map(TEXT.accepts, value)), "a list of dotted paths"
)
IMPORTABLE = Expected(lambda value: callable(value) or TEXT.accepts(value), "a callable or the dotted path of one")
HUB = Expected(
    _is_hub,
    'a dict with "PUBLISH_URL", an absolute URL, and "SUBSCRIBE_URL", a path of the site such as "/flagsmith/hub" or '
    "an absolute URL",
)
NAMES = Expected(_is_names, 'a list of flag names, or "all"')
HEADERS = Expected(_is_headers, "a dict of header names to values, both plain ASCII strings")
DEFAULT = Expected(_is_default, 'a bool, a value, or {"enabled": bool, "value": value}')
DEFAULTS = Expected(_is_defaults, f"a dict of flag names to {DEFAULT.words}")


@dataclass(frozen=True)
class Key:
    """One key of the setting; the value of a secret one is never shown."""

    default: Any
    expected: Expected
    secret: bool


def _key(default: object, expected: Expected, *, secret: bool = False) -> Any:
    # A factory, because to dataclasses before Python 3.11 a MappingProxyType is a mutable default.
    return field(default_factory=lambda: default, repr=not secret, metadata={"key": Key(default, expected, secret)})


@dataclass(frozen=True, kw_only=True)
class Config:
    """The `FLAGSMITH` setting; every attribute is its key in lower case, durations are in seconds."""

    environment_key: str | None = _key(None, SECRET, secret=True)
    api_url: str = _key("https://edge.api.flagsmith.com/api/v1/", URL)
    realtime_url: str | None = _key("https://realtime.flagsmith.com/", URL.or_none())
    stream_key: str | None = _key(None, KEY.or_none(), secret=True)
    webhook_secret: str | None = _key(None, SECRET, secret=True)
    realtime_token: str | None = _key(None, SECRET, secret=True)
    cache: str = _key("default", TEXT)
    # Beside a stream or queue-change that works: Flagsmith announces some changes to nobody, as a scheduled version.
    poll_interval: float = _key(300, _seconds(0))
    # Without one: as often as the official SDK, whose every process polls.
    fallback_poll_interval: float = _key(60, _seconds(1))
    freshness: float = _key(0.1, _seconds(0))  # Flagsmith itself takes 0.2 s or more to announce a change
    max_stale: float | None = _key(None, _seconds(0, exclusive=True).or_none())
    request_timeout: float = _key(10, _seconds(0, exclusive=True))  # the official SDK's
    stream_timeout: float = _key(45, _seconds(0, exclusive=True))  # three of the stream's pings, one in 15 s
    # The margins of storage/lease take 5 s of them, and within the rest it is renewed.
    lease_seconds: float = _key(15, _seconds(8, why=": it must be renewed while the cache is slow"))
    listener: str = _key("command", LISTENERS)
    identity: str | Callable[..., Any] | None = _key(None, IMPORTABLE.or_none())
    defaults: Mapping[str, Any] = _key(MappingProxyType({}), DEFAULTS)
    strict: bool = _key(False, BOOL)
    hooks: tuple[str, ...] = _key((), PATHS)
    usage: bool = _key(False, BOOL)
    snapshot_file: Path | None = _key(None, PATH.or_none())
    dashboard_url: str | None = _key(None, URL.or_none())
    admin_permission: str | None = _key(None, PERMISSION.or_none())
    hub: Mapping[str, str] | None = _key(None, HUB.or_none())
    browser_flags: Collection[str] = _key((), NAMES)
    headers: Mapping[str, str] = _key(MappingProxyType({}), HEADERS, secret=True)

    def __repr__(self) -> str:
        shown = (f"{item.name}={hide_password(repr(getattr(self, item.name)))}" for item in fields(self) if item.repr)
        return f"Config({', '.join(shown)})"

    @property
    def reports_usage(self) -> bool:
        """Whether reads are counted: only Flagsmith wants to know, not a file."""
        return self.usage and self.environment_key is not None

    @cached_property
    def namespace(self) -> str:
        """The part of a cache key that names the environment: a digest, so that a key's name shows no secret."""
        source = self.environment_key or (f"file:{self.snapshot_file.absolute()}" if self.snapshot_file else "")
        return hashlib.sha256(source.encode()).hexdigest()[:16]


KEYS: Mapping[str, Key] = MappingProxyType({item.name.upper(): item.metadata["key"] for item in fields(Config)})


def find_problems(setting: object) -> list[Error]:
    """Return the errors in a value of `FLAGSMITH`. A missing key isn't one of them: reading flags needs no key."""
    if not isinstance(setting, Mapping):
        hint = 'Write FLAGSMITH = {"ENVIRONMENT_KEY": "ser.…"} in your settings.'
        return [Error(f"FLAGSMITH is {type(setting).__name__}, not a dict.", hint=hint, id="flagsmith.E005")]
    return [problem for key, value in setting.items() for problem in _key_problems(key, value)]


def find_missing(config: Config) -> list[Warning]:
    """Return a warning if `FLAGSMITH` names no source of flags: no error, so that tests start without a key."""
    if config.environment_key or config.snapshot_file:
        return []
    hint = f"{SERVER_KEY_HINT} {WITHOUT_ACCOUNT}"
    what = "FLAGSMITH['ENVIRONMENT_KEY'] is missing: all flags are what DEFAULTS says, else off."
    return [Warning(what, hint=hint, id="flagsmith.W001")]


def find_missing_cache(alias: str) -> list[Error]:
    """Return the error of a cache that is not in `CACHES`."""
    if alias in settings.CACHES:
        return []
    hint = f"Add it there, or name one of: {', '.join(settings.CACHES)}."
    return [Error(f"FLAGSMITH['CACHE'] is {alias!r}, which is not in CACHES.", hint=hint, id="flagsmith.E006")]


def explain(problem: CheckMessage) -> str:
    """Return what is wrong and what to do about it in one line, for an exception or a log."""
    return f"{problem.msg} {problem.hint}"


def _key_problems(key: object, value: object) -> Iterable[Error]:
    if key not in KEYS:
        hint = suggest(str(key), KEYS) or f"Remove it or correct its name; the keys are {', '.join(sorted(KEYS))}."
        yield Error(f"FLAGSMITH[{key!r}] is not a known key.", hint=hint, id="flagsmith.E003")
    elif value == PLACEHOLDER:
        what = f"FLAGSMITH[{key!r}] is the documentation's {value!r}."
        yield Error(what, hint=SERVER_KEY_HINT, id="flagsmith.E004")
    elif not (expected := KEYS[str(key)].expected).accepts(value):
        shown = f"a {type(value).__name__} that isn't valid" if KEYS[str(key)].secret else hide_password(repr(value))
        yield Error(f"FLAGSMITH[{key!r}] is {shown}.", hint=f"Set it to {expected.words}.", id="flagsmith.E004")
    elif key == "ENVIRONMENT_KEY" and value and not str(value).startswith("ser."):
        what = "FLAGSMITH['ENVIRONMENT_KEY'] is a client-side key, but evaluating flags takes a server-side one."
        yield Error(what, hint=SERVER_KEY_HINT, id="flagsmith.E002")


def host_of(url: str) -> str:
    """Return the host of a URL."""
    return (urlsplit(url).hostname or "").rstrip(".")


def is_saas(url: str) -> bool:
    """Return whether a URL is one of Flagsmith's own, and not of a self-hosted Flagsmith."""
    return f".{host_of(url)}".endswith(f".{SAAS}")


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a question with the known names that are close to an unknown one; "" where none is."""
    by_lower = {each.lower(): each for each in known}
    close = [by_lower[each] for each in get_close_matches(name.lower(), by_lower, n=3)]
    return f"Did you mean {', '.join(map(repr, close))}?" if close else ""


def hide_password(text: str) -> str:
    """Return a text without the passwords of the URLs in it."""
    return USERINFO.sub("//…@", text)


def get_setting() -> Any:
    """Return `FLAGSMITH` as the project wrote it, before any check."""
    return getattr(settings, "FLAGSMITH", {})


@cache
@sensitive_variables("setting", "values")
def get_config() -> Config:
    """Return the setting; raise `ImproperlyConfigured` for the first of its problems."""
    setting = get_setting()
    if problems := find_problems(setting):
        raise ImproperlyConfigured(explain(problems[0]))
    values = {key.lower(): value for key, value in setting.items()}
    for secret in {"environment_key", "webhook_secret", "realtime_token"} & values.keys():
        values[secret] = values[secret] or None
    for url in {"api_url", "realtime_url", "dashboard_url"} & values.keys():
        values[url] = values[url] and values[url].rstrip("/") + "/"
    if (names := values.get("browser_flags", "all")) != "all":
        values["browser_flags"] = frozenset(names)
    for mapping in {"defaults", "headers", "hub"} & values.keys():
        if values[mapping] is not None:
            values[mapping] = MappingProxyType(dict(values[mapping]))
    values["hooks"] = tuple(values.get("hooks", ()))
    if values.get("snapshot_file"):
        values["snapshot_file"] = Path(values["snapshot_file"])
    return Config(**values)


@cache
@sensitive_variables("setting")
def get_read_config() -> Config:
    """Return the setting for a read, which never fails. If it has problems, log one and return only its `DEFAULTS`."""
    try:
        config = get_config()
        if not (problems := find_missing_cache(config.cache)):
            return config
        problem = explain(problems[0])
    except ImproperlyConfigured as error:
        problem = str(error)
    logger.error("All flags are what FLAGSMITH['DEFAULTS'] says, else off: %s", problem)
    setting = get_setting()
    defaults = setting.get("DEFAULTS") if isinstance(setting, Mapping) else None
    return Config(defaults=MappingProxyType(dict(defaults) if defaults and DEFAULTS.accepts(defaults) else {}))


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in ("FLAGSMITH", "CACHES"):
        get_config.cache_clear()
        get_read_config.cache_clear()

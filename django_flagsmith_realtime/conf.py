"""The `FLAGSMITH` setting as one typed, immutable object."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.functional import cached_property
from django.views.decorators.debug import sensitive_variables

SERVER_KEY_HINT = (
    "Create a server-side key in Flagsmith under your environment's SDK Keys "
    '("Server-side Environment Keys"); it starts with "ser.".'
)
WITHOUT_ACCOUNT = 'To try without an account, name a file in SNAPSHOT_FILE that says {"flags": {"new_checkout": true}}.'
PLACEHOLDER = "ser.…"  # what the documentation writes for a key
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a header's name, RFC 9110, 5.6.2
USERINFO = re.compile(r"//[^\s'\"]*@")  # of a URL, also of one that is none


@dataclass(frozen=True)
class Expected:
    """What a key accepts: a predicate, and the words for it in an error."""

    accepts: Callable[[Any], bool]
    words: str

    def or_none(self) -> Expected:
        return Expected(lambda value: value is None or self.accepts(value), f"{self.words}, or None")


def _is_url(value: object) -> bool:
    if not isinstance(value, str) or not value.isprintable() or set(value) & set(" ?#"):
        return False
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _is_number(value: object) -> bool:
    longest = threading.TIMEOUT_MAX  # more than that no wait can take
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -longest <= value <= longest


def _seconds(minimum: float, *, exclusive: bool = False, why: str = "") -> Expected:
    if exclusive:
        return Expected(
            lambda value: _is_number(value) and value > minimum,
            f"a number of seconds above {minimum:g}",
        )
    return Expected(
        lambda value: _is_number(value) and value >= minimum,
        f"a number of seconds, at least {minimum:g}{why}",
    )


def _is_header_text(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()


def _is_headers(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and TOKEN.fullmatch(name) and _is_header_text(text) for name, text in value.items()
    )


def _is_default(value: object) -> bool:
    if isinstance(value, dict):
        is_flag = bool(value) and value.keys() <= {"enabled", "value"}
        return is_flag and isinstance(value.get("enabled", True), bool) and _is_scalar(value.get("value"))
    return _is_scalar(value)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _is_defaults(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and _is_default(default) for name, default in value.items()
    )


KEY = Expected(lambda value: _is_header_text(value) and value != "", "a non-empty string without spaces around it")
TEXT = Expected(lambda value: isinstance(value, str) and value != "", "a non-empty string")
PATH = Expected(lambda value: TEXT.accepts(value) or isinstance(value, Path), "the path of a file")
URL = Expected(_is_url, 'an absolute URL such as "https://flagsmith.example.com/api/v1/"')
PERMISSION = Expected(
    lambda value: isinstance(value, str) and re.fullmatch(r"\w+\.\S+", value) is not None,
    'a permission such as "shop.see_flags"',
)
BOOL = Expected(lambda value: isinstance(value, bool), "True or False")
LISTENERS = Expected(lambda value: value in ("command", "inline"), '"command" or "inline"')
IMPORTABLE = Expected(lambda value: callable(value) or TEXT.accepts(value), "a callable or the dotted path of one")
HEADERS = Expected(_is_headers, "a dict of header names to values, both plain ASCII strings")
DEFAULT = Expected(_is_default, 'a bool, a value, or {"enabled": bool, "value": value}')
DEFAULTS = Expected(
    _is_defaults,
    'a dict of flag names to a bool, a value, or {"enabled": bool, "value": value}',
)


@dataclass(frozen=True)
class Key:
    """One key of the setting; a secret one's value is never shown."""

    default: Any
    expected: Expected
    secret: bool


def _key(default: object, expected: Expected, *, secret: bool = False) -> Any:
    # A factory, because dataclasses before Python 3.12 take an immutable mapping for a mutable default.
    return field(default_factory=lambda: default, repr=not secret, metadata={"key": Key(default, expected, secret)})


@dataclass(frozen=True, kw_only=True)
class Config:
    """The `FLAGSMITH` setting; every attribute is its key in lower case, durations are in seconds."""

    environment_key: str | None = _key(None, KEY.or_none(), secret=True)
    api_url: str = _key("https://edge.api.flagsmith.com/api/v1/", URL)
    realtime_url: str | None = _key("https://realtime.flagsmith.com/", URL.or_none())
    stream_key: str | None = _key(None, KEY.or_none(), secret=True)
    cache: str = _key("default", TEXT)
    poll_interval: float = _key(300, _seconds(0))
    fallback_poll_interval: float = _key(30, _seconds(1))
    freshness: float = _key(0.1, _seconds(0))
    max_stale: float | None = _key(None, _seconds(0, exclusive=True).or_none())
    request_timeout: float = _key(10, _seconds(0, exclusive=True))
    stream_timeout: float = _key(45, _seconds(0, exclusive=True))
    lease_seconds: float = _key(15, _seconds(8, why=": it must be renewed while the cache is slow"))
    listener: str = _key("command", LISTENERS)
    identity: str | Callable[..., Any] | None = _key(None, IMPORTABLE.or_none())
    defaults: Mapping[str, Any] = _key(MappingProxyType({}), DEFAULTS)
    strict: bool = _key(False, BOOL)
    snapshot_file: Path | None = _key(None, PATH.or_none())
    admin_permission: str | None = _key(None, PERMISSION.or_none())
    headers: Mapping[str, str] = _key(MappingProxyType({}), HEADERS, secret=True)

    def __repr__(self) -> str:
        shown = (f"{item.name}={hide_password(repr(getattr(self, item.name)))}" for item in fields(self) if item.repr)
        return f"Config({', '.join(shown)})"

    @cached_property
    def namespace(self) -> str:
        """What tells this environment's cache keys from another's: a digest, so that no key is shown with them."""
        source = self.environment_key or (f"file:{self.snapshot_file.absolute()}" if self.snapshot_file else "")
        return hashlib.sha256(source.encode()).hexdigest()[:16]


KEYS: Mapping[str, Key] = MappingProxyType({item.name.upper(): item.metadata["key"] for item in fields(Config)})


def find_problems(setting: object) -> list[Error]:
    """Return the errors in a value of `FLAGSMITH`; a missing key is none of them, since reading flags needs none."""
    if not isinstance(setting, Mapping):
        return [
            Error(
                f"FLAGSMITH is {type(setting).__name__}, not a dict.",
                hint='Write FLAGSMITH = {"ENVIRONMENT_KEY": "ser.…"} in your settings.',
                id="flagsmith.E005",
            )
        ]
    return [problem for key, value in setting.items() for problem in _key_problems(key, value)]


def find_missing(config: Config) -> list[Error]:
    """Return the error of a `FLAGSMITH` that names no source of flags."""
    if config.environment_key or config.snapshot_file:
        return []
    hint = f"{SERVER_KEY_HINT} {WITHOUT_ACCOUNT}"
    return [Error("FLAGSMITH['ENVIRONMENT_KEY'] is missing.", hint=hint, id="flagsmith.E001")]


def explain(problem: CheckMessage) -> str:
    """Return what is wrong and what to do about it in one line, for an exception or a log."""
    return f"{problem.msg} {problem.hint}"


def _key_problems(key: object, value: object) -> Iterable[Error]:
    if key not in KEYS:
        hint = f"Remove it or correct its name; the keys are {', '.join(sorted(KEYS))}."
        yield Error(f"FLAGSMITH[{key!r}] is not a known key.", hint=hint, id="flagsmith.E003")
    elif value == PLACEHOLDER:
        what = f"FLAGSMITH[{key!r}] is the documentation's {value!r}."
        yield Error(what, hint=SERVER_KEY_HINT, id="flagsmith.E004")
    elif not (expected := KEYS[str(key)].expected).accepts(value):
        shown = f"a {type(value).__name__} that does not fit" if KEYS[str(key)].secret else hide_password(repr(value))
        yield Error(f"FLAGSMITH[{key!r}] is {shown}.", hint=f"Set it to {expected.words}.", id="flagsmith.E004")
    elif key == "ENVIRONMENT_KEY" and value is not None and not str(value).startswith("ser."):
        what = "FLAGSMITH['ENVIRONMENT_KEY'] is a client-side key; evaluating flags here takes a server-side one."
        yield Error(what, hint=SERVER_KEY_HINT, id="flagsmith.E002")


def hide_password(text: str) -> str:
    """Return a text without the passwords of the URLs in it."""
    return USERINFO.sub("//…@", text)


def _with_slash(url: str | None) -> str | None:
    return None if url is None else url.rstrip("/") + "/"


def get_setting() -> Any:
    """Return `FLAGSMITH` as the project's settings have it: nothing is checked yet."""
    return getattr(settings, "FLAGSMITH", {})


@cache
@sensitive_variables("setting", "values")
def get_config() -> Config:
    """Return the `FLAGSMITH` setting; raise `ImproperlyConfigured` for one with problems."""
    setting = get_setting()
    if problems := find_problems(setting):
        raise ImproperlyConfigured(explain(problems[0]))
    values = {key.lower(): value for key, value in setting.items()}
    for url in ("api_url", "realtime_url"):
        values[url] = _with_slash(values.get(url, KEYS[url.upper()].default))
    for mapping in ("defaults", "headers"):
        values[mapping] = MappingProxyType(dict(values.get(mapping, {})))
    if values.get("snapshot_file"):
        values["snapshot_file"] = Path(values["snapshot_file"])
    return Config(**values)


@receiver(setting_changed)
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "FLAGSMITH":
        get_config.cache_clear()

"""System checks of the `FLAGSMITH` setting, and the decorator of all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.apps import apps
from django.contrib.auth import get_permission_codename
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..conf import Config, find_missing, find_missing_cache, find_problems, get_config, get_setting

TAG = "flagsmith"  # manage.py check --tag flagsmith

Find = Callable[..., Iterable[CheckMessage]]


def checks_config(*tags: str, deploy: bool = False) -> Callable[[Find], Find]:
    """Register a function that finds something wrong in a valid `FLAGSMITH`; `check_setting` reports invalid ones.

    One tagged with Django's `database` also gets the aliases of `--database`, and runs only for those.
    """

    def decorate(find: Find) -> Find:
        @register(TAG, *tags, deploy=deploy)
        def check(databases: Iterable[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
            try:
                config = get_config()
            except ImproperlyConfigured:
                return []
            if Tags.database not in tags:
                return list(find(config))
            return list(find(config, databases)) if databases else []

        return find

    return decorate


@register(TAG)
def check_setting(**kwargs: Any) -> Sequence[CheckMessage]:
    """Report unknown keys, invalid values, a client-side or missing key, or a cache that doesn't exist."""
    if problems := find_problems(get_setting()):
        return problems
    config = get_config()
    return [*find_missing(config), *find_missing_cache(config.cache)]


@checks_config()
def find_wrong_identity(config: Config) -> Iterator[CheckMessage]:
    """Report an `IDENTITY` that can't be imported or called."""
    path = config.identity
    try:
        named = import_string(path) if isinstance(path, str) else path
        why = "" if named is None or callable(named) else "it is not callable"
    except ImportError as error:
        why = str(error).rstrip(".")
    if why:
        yield Error(
            f"FLAGSMITH['IDENTITY'] is {path!r}: {why}.",
            hint="Name a callable that takes a request: "
            '"django_flagsmith_realtime.identity.from_user", or one of your own.',
            id="flagsmith.E007",
        )


@checks_config()
def find_wrong_hooks(config: Config) -> Iterator[CheckMessage]:
    """Report hooks that can't be loaded, or all where OpenFeature's SDK is not installed."""
    for path in config.hooks:
        try:
            from ..reading.hooks import load_hook

            load_hook(path)
        except Exception as error:
            yield Error(
                f"FLAGSMITH['HOOKS'] has {path!r}: {str(error).rstrip('.') or type(error).__name__}.",
                hint="Name a hook of OpenFeature, or a class or function that returns one when it is called without "
                'arguments. Hooks need: pip install "django-flagsmith-realtime[openfeature]"',
                id="flagsmith.E010",
            )


@checks_config()
def find_short_age(config: Config) -> Iterator[CheckMessage]:
    """Warn of a `MAX_STALE` that healthy flags exceed between two polls."""
    interval = config.fallback_poll_interval
    if config.environment_key and config.max_stale is not None and config.max_stale <= interval:
        yield Warning(
            f"FLAGSMITH['MAX_STALE'] is {config.max_stale:g} s: flags that are polled every {interval:g} s "
            "(FALLBACK_POLL_INTERVAL) are reported stale in between.",
            hint="Set MAX_STALE well above FALLBACK_POLL_INTERVAL.",
            id="flagsmith.W018",
        )


@checks_config(deploy=True)
def find_strict(config: Config) -> Iterator[CheckMessage]:
    """Warn of `STRICT` in production."""
    if config.strict:
        yield Warning(
            "FLAGSMITH['STRICT'] is on: a page that reads an unknown flag fails.",
            hint="Switch it on in development and tests only.",
            id="flagsmith.W017",
        )


@checks_config()
def find_unknown_permission(config: Config) -> Iterator[CheckMessage]:
    """Warn of a permission for the admin page that no model declares."""
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

"""The decorator that registers a check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.checks import CheckMessage, register
from django.core.exceptions import ImproperlyConfigured

from ..conf import Config, get_config

TAG = "flagsmith"  # manage.py check --tag flagsmith

Find = Callable[[Config], Iterable[CheckMessage]]


def checks_config(*tags: str, deploy: bool = False) -> Callable[[Find], Find]:
    """Register a function that finds something wrong in a valid `FLAGSMITH`; `checks/setting` reports invalid ones."""

    def decorate(find: Find) -> Find:
        @register(TAG, *tags, deploy=deploy)
        def check(**kwargs: Any) -> list[CheckMessage]:
            try:
                config = get_config()
            except ImproperlyConfigured:
                return []
            return list(find(config))

        return find

    return decorate

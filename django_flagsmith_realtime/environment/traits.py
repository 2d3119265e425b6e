"""Traits as a person writes them, on the command line or in a form."""

from __future__ import annotations

import json
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from ..compat import gettext_noop as _


class InvalidTraits(ValueError):
    """A text isn't a set of traits; `message` says why, with `params`, as in Django's `ValidationError`."""

    def __init__(self, message: str, **params: object) -> None:
        super().__init__(message % params)
        self.message, self.params = message, params


def parse_traits(text: str) -> dict[str, Any]:
    """Parse a JSON object, or a `key=value` on each line; raise `InvalidTraits` for anything else."""
    if not text.lstrip().startswith("{"):
        return parse_pairs(filter(None, map(str.strip, text.splitlines())))
    try:
        traits: dict[str, Any] = _parse_json(text)
    except (ValueError, RecursionError) as error:
        raise InvalidTraits(_('This is not a JSON object such as {"plan": "gold"}: %(error)s.'), error=error) from error
    return traits


def parse_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """Parse texts of the form `key=value`, whose value may be JSON; raise `InvalidTraits` for anything else."""
    traits: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not (key and equals):
            raise InvalidTraits(_("%(pair)r is not key=value, for instance plan=gold."), pair=pair)
        if key in traits:
            raise InvalidTraits(_("%(key)r is there twice: a trait has one value."), key=key)
        try:
            traits[key] = _parse_json(value)
        except (ValueError, RecursionError):
            traits[key] = value
    return traits


def _parse_json(text: str) -> Any:
    def refuse(constant: str) -> Any:  # NaN and Infinity, which Python would accept
        raise ValueError(f"{constant} is not JSON")

    parsed = json.loads(text, parse_constant=refuse)
    deepcopy(parsed)  # `Identity` copies its traits: refuse here what is nested too deeply for that
    return parsed

"""Traits as a person writes them, on the command line or in a form."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any


class InvalidTraits(ValueError):
    """A text that tells no traits; the message says why."""


def parse_traits(text: str) -> dict[str, Any]:
    """Read a JSON object, or a `key=value` on each line; raise `InvalidTraits` for anything else."""
    if text.lstrip().startswith("{"):
        return _parse_object(text)
    traits: dict[str, Any] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        key, equals, value = (part.strip() for part in line.partition("="))
        if not (key and equals):
            raise InvalidTraits(f"{line!r} is not key=value, for instance plan=gold.")
        if key in traits:
            raise InvalidTraits(f"{key!r} is there twice: a trait has one value.")
        traits[key] = read_value(value)
    return traits


def read_value(text: str) -> Any:
    """Return what a text says as JSON, else the text."""
    try:
        return _decode(text)
    except (ValueError, RecursionError):
        return text


def _parse_object(text: str) -> dict[str, Any]:
    try:
        traits: dict[str, Any] = _decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidTraits(f'This is no JSON object such as {{"plan": "gold"}}: {error}.') from error
    return traits


def _decode(text: str) -> Any:
    decoded = json.loads(text, parse_constant=_refuse)
    deepcopy(decoded)  # as an identity does, which can't report what is nested too deep for that
    return decoded


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")

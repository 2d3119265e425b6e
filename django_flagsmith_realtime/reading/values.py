"""A flag's value as a caller wants it: of one type, JSON decoded."""

from __future__ import annotations

import json
from typing import Any

KINDS = (bool, int, float, str, dict, list)


class WrongKind(ValueError):
    """A value that is not of the type that was asked for; the message does not show it."""


def read_as(value: Any, kind: type) -> Any:
    """Return a value as a type of `KINDS`, of which dict and list are decoded from JSON; raise `WrongKind`.

    Nothing else is converted but an integer where a float is wanted.
    """
    if kind not in KINDS:
        raise TypeError(f"type is one of {', '.join(each.__name__ for each in KINDS)}, not {kind!r}.")
    try:
        if kind in (dict, list) and isinstance(value, str):
            value = json.loads(value)
        elif kind is float and type(value) is int:
            value = float(value)
    except OverflowError as error:
        raise WrongKind("it is too large for a float") from error
    except (ValueError, RecursionError) as error:
        raise WrongKind("it isn't JSON") from error
    if type(value) is not kind:
        raise WrongKind(f"it is of type {type(value).__name__}, not {kind.__name__}")
    return value

"""Identities: whom flags are evaluated for."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from django.http import HttpRequest

NESTED = (dict, list)


@dataclass(frozen=True)
class Identity:
    """Whom flags are evaluated for. Traits are compared by Flagsmith's segments; nothing is sent anywhere."""

    identifier: str
    traits: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.identifier, str):
            kind = type(self.identifier).__name__
            raise TypeError(f"An identifier is a string, not of type {kind}: write Identity(str(…)).")
        if not isinstance(self.traits, (dict, Mapping)):  # dict first: that is the faster question
            raise TypeError(f'Traits are a dict such as {{"plan": "pro"}}, not of type {type(self.traits).__name__}.')
        nested = {key: deepcopy(trait) for key, trait in self.traits.items() if isinstance(trait, NESTED)}
        object.__setattr__(self, "traits", {**self.traits, **nested})  # the caller may go on to change theirs

    @property
    def traits_for_sdk(self) -> Mapping[str, Any]:
        """The traits as the SDK takes them."""
        for trait in self.traits.values():
            if isinstance(trait, dict):
                return {key: _enveloped(each) for key, each in self.traits.items()}
        return self.traits  # as nearly always


def _enveloped(trait: Any) -> Any:
    """Keep the SDK from taking a dict for its own envelope, `{"value": …, "transient": …}`, unless it is one."""
    return {"value": trait} if isinstance(trait, dict) and "value" not in trait else trait


def is_same(one: Identity, other: Identity | None) -> bool:
    """Tell whether two identities evaluate alike: equal and of equal types, as 1, 1.0 and True are not."""
    if other is None or one.identifier != other.identifier:
        return False
    try:
        return one is other or (one.traits == other.traits and _is_same(one.traits, other.traits))
    except Exception:  # of a trait that can't be compared
        return False


def _is_same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other)


class Unset(Enum):
    """A default that is told apart from None."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return self.value


UNSET = Unset.UNSET
Whose = Identity | Literal[Unset.UNSET] | None


def check_identity(identity: Whose) -> Whose:
    """Return an identity, None or `UNSET`; raise TypeError for anything else."""
    if identity is None or isinstance(identity, (Identity, Unset)):
        return identity
    raise TypeError(f'Name whom the flags are for: identity=Identity("42"), not of type {type(identity).__name__}.')


class FromUser:
    """Names the user who is logged in by primary key, and nobody where none is."""

    def __call__(self, request: HttpRequest) -> Identity | None:
        return _identify(request.user)

    async def acall(self, request: HttpRequest) -> Identity | None:
        return _identify(await request.auser())


from_user = FromUser()


def _identify(user: Any) -> Identity | None:
    return Identity(str(user.pk)) if user.is_authenticated else None

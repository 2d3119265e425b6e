"""Identities, which flags are evaluated for, and `from_user`."""

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
    """A user, a device or a company that flags are evaluated for.

    Flagsmith's segments compare the traits. This happens in this process: nothing is sent to Flagsmith.
    """

    identifier: str
    traits: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.identifier, str):
            kind = type(self.identifier).__name__
            raise TypeError(f"An identifier is a string, not of type {kind}: write Identity(str(…)).")
        if not isinstance(self.traits, Mapping):
            raise TypeError(f'Traits are a dict such as {{"plan": "pro"}}, not of type {type(self.traits).__name__}.')
        traits = {key: deepcopy(trait) if isinstance(trait, NESTED) else trait for key, trait in self.traits.items()}
        object.__setattr__(self, "traits", traits)  # the caller may go on to change theirs

    @property
    def traits_for_sdk(self) -> Mapping[str, Any]:
        """The traits as the SDK takes them: a dict only in an envelope, `{"value": …, "transient": …}`."""
        return {
            key: {"value": trait} if isinstance(trait, dict) and "value" not in trait else trait
            for key, trait in self.traits.items()
        }


def is_same(one: Identity, other: Identity | None) -> bool:
    """Tell whether two identities evaluate alike. Python's 1, 1.0 and True are equal, and different to Flagsmith."""
    if other is None or one.identifier != other.identifier:
        return False
    try:
        return one is other or (one.traits == other.traits and _is_same_type(one.traits, other.traits))
    except Exception:  # raised by a trait that can't be compared
        return False


def _is_same_type(one: Any, other: Any) -> bool:
    """Tell whether two values that are equal are of equal types, down to the innermost."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return all(_is_same_type(one[key], other[key]) for key in one)
    return not isinstance(one, (list, tuple)) or all(map(_is_same_type, one, other))


class Unset(Enum):
    """The default of `identity=`, where None is an answer."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return self.value


UNSET = Unset.UNSET
IdentityOrUnset = Identity | Literal[Unset.UNSET] | None


def check_identity(identity: IdentityOrUnset) -> IdentityOrUnset:
    """Return an identity, None or `UNSET`; raise TypeError for anything else."""
    if identity is None or isinstance(identity, (Identity, Unset)):
        return identity
    raise TypeError(
        f'Pass an Identity, as in identity=Identity("42"), not an object of type {type(identity).__name__}.'
    )


class FromUser:
    """Returns an identity with the primary key of the user who is logged in, or None."""

    def __call__(self, request: HttpRequest) -> Identity | None:
        return self._identify(request.user)

    async def acall(self, request: HttpRequest) -> Identity | None:
        return self._identify(await request.auser())

    def _identify(self, user: Any) -> Identity | None:
        return Identity(str(user.pk)) if user.is_authenticated else None


from_user: FromUser = FromUser()

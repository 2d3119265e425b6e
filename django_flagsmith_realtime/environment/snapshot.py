"""The flags of an environment at one moment, as immutable values; evaluation by the official SDK."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple, cast

from django.utils.functional import cached_property
from flagsmith import Flagsmith
from flagsmith.models import Flag
from flagsmith.models import Flags as SdkFlags
from flagsmith.offline_handlers import OfflineHandler

from ..exceptions import InvalidDocument
from . import identity_overrides
from .document import Plain, may_read_flags, normalize, parse_updated_at, server_key_only
from .overview import FlagDescription, describe_flags, digest
from .timestamps import to_datetime
from .warnings import find_warnings

UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class Environment:
    """One version of an environment, with its flags as the SDK evaluates them. Nothing in it changes.

    All that needs no identity is evaluated at once, so that a document that can't be evaluated fails here.
    """

    def __init__(self, document: Plain, payload: bytes | None = None) -> None:
        self.api_key: str = document["api_key"]  # the client-side key, which names the environment in the stream's URL
        self.name: str = document["name"]
        self.project_id: int | None = document["project"].get("id")  # as of a file that an earlier release wrote
        self.server_key_only: frozenset[str] = server_key_only(document)
        states = [state for segment in document["project"]["segments"] for state in segment["feature_states"]]
        states += [state for identity in document["identity_overrides"] for state in identity["identity_features"]]
        split = [state for state in document["feature_states"] if "multivariate_feature_state_values" in state]
        self.multivariate: frozenset[str] = frozenset(state["feature"]["name"] for state in split)
        states += split
        # The names of the flags that may differ between identities; `flags` has all others for everybody.
        self.targeted: frozenset[str] = frozenset(state["feature"]["name"] for state in states)
        # If a segment may depend on a flag, the SDK must evaluate all flags at once: else it doesn't know the others.
        self._has_dependencies = any(map(may_read_flags, document["project"]["segments"]))
        with_segments, self._override_traits = identity_overrides.with_segments(document)
        handler = SimpleNamespace(get_environment=lambda: with_segments)
        self._sdk = Flagsmith(offline_mode=True, offline_handler=cast(OfflineHandler, handler))
        self._sdk.offline_handler = None  # the SDK has converted the document, and would keep it in memory
        # The environment's flags by name. The SDK's `Flag` is mutable: hand out copies only.
        self.flags: Mapping[str, Flag] = MappingProxyType(
            {flag.feature_name: flag for flag in self._sdk.get_environment_flags().all_flags()}
        )
        if payload is None:
            self.document = document
        else:  # the document, which takes much memory, is not kept
            self.payload = payload

    @classmethod
    def from_payload(cls, payload: bytes) -> Environment:
        """Load what `payload` stored; raise ValueError for anything else."""
        try:
            return cls(json.loads(zlib.decompress(payload)), payload)
        except (*UNREADABLE, zlib.error) as error:
            raise ValueError("not a payload of this package") from error

    @cached_property
    def document(self) -> Plain:
        """The normalized document; never changed."""
        return self.read_document()

    def read_document(self) -> Plain:
        """Return the document without keeping it, as `document` does."""
        document: Plain = json.loads(zlib.decompress(self.payload))
        return document

    @cached_property
    def payload(self) -> bytes:
        """The document as it is stored."""
        return zlib.compress(json.dumps(self.document, separators=(",", ":")).encode())

    @cached_property
    def version(self) -> str:
        """A digest of all that evaluation uses: environments that evaluate alike have the same."""
        return digest(self.document, self.descriptions)

    @cached_property
    def descriptions(self) -> Mapping[str, FlagDescription]:
        """What the document says of each flag, by name."""
        return describe_flags(self.document)

    def identity_flags(self, identifier: str, traits: Mapping[str, Any]) -> SdkFlags:
        """Return the SDK's flags of an identity, which evaluate each flag when it is first read."""
        if self._override_traits:  # also for an identity without overrides, whose own traits may not claim some
            traits = {**traits, identity_overrides.TRAIT: self._override_traits.get(identifier, "")}
        flags = self._sdk.get_identity_flags(identifier, traits)
        if self._has_dependencies:
            with suppress(Exception):  # a flag that can't be evaluated must not spoil the others
                flags.all_flags()
        return flags


@dataclass(frozen=True)
class Document:
    """A document as it was fetched. Times in microseconds: `updated_at` is Flagsmith's, or 0; `asked_at` ours."""

    environment: Environment
    updated_at: int
    realtime_enabled: bool
    warnings: tuple[str, ...] = ()  # for the person who can change it in Flagsmith
    asked_at: int = field(default_factory=lambda: time.time_ns() // 1_000, compare=False)


def parse_document(body: object) -> Document:
    """Parse the body of an environment document; raise `InvalidDocument` for anything else."""
    document, updated_at = normalize(body), parse_updated_at(body)
    assert isinstance(body, dict)  # `normalize` saw to it
    try:
        environment = Environment(document)
        _ = environment.version
    except UNREADABLE as error:
        raise InvalidDocument(f"{error}.") from error
    realtime_enabled = body["project"].get("enable_realtime_updates") is not False
    return Document(environment, updated_at, realtime_enabled, tuple(find_warnings(body, document)))


class Head(NamedTuple):
    """Which snapshot is published. Times in microseconds: `updated_at` is Flagsmith's, `published_at` ours.

    `changed_at` is sent to other programs, which ignore one that has not moved: it is `updated_at`, or the previous one
    plus one where the content has changed and `updated_at` has not moved beyond it.
    """

    sequence: int
    version: str
    updated_at: int
    published_at: int
    changed_at: int


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The published flags of the environment at one moment."""

    head: Head
    environment: Environment

    @property
    def sequence(self) -> int:
        """A number that grows with each snapshot that is published."""
        return self.head.sequence

    @property
    def version(self) -> str:
        """A digest of the content: snapshots that evaluate alike have the same."""
        return self.head.version

    @property
    def updated_at(self) -> datetime:
        """When Flagsmith says that the environment was last changed."""
        return to_datetime(self.head.updated_at)

    @property
    def published_at(self) -> datetime:
        """When the listener stored it."""
        return to_datetime(self.head.published_at)

"""What there is for sync code is there for coroutines, or here is why not."""

from __future__ import annotations

import inspect
from typing import Any

from django.http import HttpResponse
from django.test import RequestFactory

import django_flagsmith_realtime
from django_flagsmith_realtime import Flags, decorators, identity, mixins, test
from django_flagsmith_realtime.middleware import FlagsmithMiddleware
from django_flagsmith_realtime.reading import request_identity, scope
from django_flagsmith_realtime.reading.reader import Reader
from tests.support.cases import each_case

NOTHING_TO_WAIT_FOR = "it waits for nothing"
BOTH = "it serves both worlds itself"
ASKED_ONCE = "only the views for open pages need it, which are coroutines"
AWAITED = "`aget_flags` has awaited what a read needs"
REASONS = {
    **dict.fromkeys(("Flag", "FlagChange", "FlagsmithHttpRequest", "Snapshot"), NOTHING_TO_WAIT_FOR),
    "Flags": "both `get_flags` and `aget_flags` return it",
    "Flags.of": NOTHING_TO_WAIT_FOR,
    "Flags.alatest": ASKED_ONCE,
    "Flags.evaluate_all": AWAITED,
    "Flags.notify": NOTHING_TO_WAIT_FOR,
    "Flags.apin": "a sync read does it by itself",
    "Identity": NOTHING_TO_WAIT_FOR,
    "flags_scope": BOTH,
    **{
        f"Flags.{name}": AWAITED
        for name in ("is_feature_enabled", "get_feature_value", "get_flag", "all_flags", "get", "find")
    },
    "decorators.flag_enabled": BOTH,
    "decorators.RequiredFlags": NOTHING_TO_WAIT_FOR,
    "mixins.FlagEnabledMixin": BOTH,
    "test.override_flags": BOTH,
    "identity.FromUser": BOTH,
    "request_identity.RequestIdentity": BOTH,
    "identity.Unset": NOTHING_TO_WAIT_FOR,
    "identity.Identity": NOTHING_TO_WAIT_FOR,
    "identity.check_identity": NOTHING_TO_WAIT_FOR,
    "identity.from_user": "it has `acall`",
    "identity.is_same": NOTHING_TO_WAIT_FOR,
    "request_identity.import_callable": NOTHING_TO_WAIT_FOR,
    "scope.Scope": NOTHING_TO_WAIT_FOR,
    "scope.Scope.end": NOTHING_TO_WAIT_FOR,
    "scope.flags_scope": BOTH,
    "scope.request_flags": NOTHING_TO_WAIT_FOR,
    "scope.current_flags": NOTHING_TO_WAIT_FOR,
    "reader.Reader.after_fork": NOTHING_TO_WAIT_FOR,
    "reader.Reader.alatest": ASKED_ONCE,
    "reader.Reader.run_in_reading_thread": "only an event loop needs it",
    "scope.release_flags": NOTHING_TO_WAIT_FOR,
}


def defined_in(holder: Any, prefix: str) -> dict[str, Any]:
    """Return the public callables that a module or a class defines, by their names here."""
    module = holder.__name__ if inspect.ismodule(holder) else holder.__module__
    return {
        f"{prefix}.{name}": value
        for name, value in vars(holder).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module
    }


PUBLIC: dict[str, Any] = {
    **{name: getattr(django_flagsmith_realtime, name) for name in django_flagsmith_realtime.__all__},
    **defined_in(Flags, "Flags"),
    **defined_in(decorators, "decorators"),
    **defined_in(mixins, "mixins"),
    **defined_in(test, "test"),
    **defined_in(identity, "identity"),
    **defined_in(request_identity, "request_identity"),
    **defined_in(request_identity.RequestIdentity, "request_identity.RequestIdentity"),
    **defined_in(scope, "scope"),
    **defined_in(scope.Scope, "scope.Scope"),
    **defined_in(Reader, "reader.Reader"),
}


def twin(name: str) -> str:
    holder, dot, own = name.rpartition(".")
    return f"{holder}{dot}a{own}"


TWINS = {name: twin(name) for name in PUBLIC if twin(name) in PUBLIC}
ALONE = PUBLIC.keys() - TWINS.keys() - set(TWINS.values()) - {"decorators.awaited"}


def test_there_are_twins() -> None:
    assert TWINS == {
        "get_flags": "aget_flags",
        "request_identity.RequestIdentity.identity": "request_identity.RequestIdentity.aidentity",
        "reader.Reader.current": "reader.Reader.acurrent",
        "scope.Scope.steps": "scope.Scope.asteps",
    }


@each_case("name", sorted(ALONE | REASONS.keys()))
def test_a_name_without_a_twin_has_a_reason(name: str) -> None:
    assert name in ALONE, "the reason is not needed any more"
    assert REASONS.get(name)


@each_case(("name", "other"), TWINS.items())
def test_twins_take_the_same_arguments_and_only_one_is_a_coroutine(name: str, other: str) -> None:
    mine, others = inspect.signature(PUBLIC[name]), inspect.signature(PUBLIC[other])
    assert [*mine.parameters] == [*others.parameters]
    assert [each.default for each in mine.parameters.values()] == [each.default for each in others.parameters.values()]
    is_async = [
        inspect.iscoroutinefunction(PUBLIC[each]) or inspect.isasyncgenfunction(PUBLIC[each]) for each in (name, other)
    ]
    assert is_async == [False, True]


def test_a_request_has_both() -> None:
    request: Any = RequestFactory().get("/")
    FlagsmithMiddleware(lambda request: HttpResponse())(request)
    assert isinstance(request.flags, Flags)
    assert inspect.iscoroutinefunction(request.aflags)


def test_the_callable_for_users_has_both() -> None:
    assert not inspect.iscoroutinefunction(identity.from_user.__call__)
    assert inspect.iscoroutinefunction(identity.from_user.acall)

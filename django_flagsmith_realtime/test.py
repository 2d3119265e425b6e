"""Flags in the tests of a project: `override_flags`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from unittest import TestCase

from django.test.utils import TestContextDecorator
from django.utils.functional import Promise
from flagsmith.models import Flag

from .conf import DEFAULT
from .environment.defaults import default_flag
from .reading import overrides
from .reading.context_decorator import ContextDecorator, Leave
from .reading.flags import flag_name

TestClass = TypeVar("TestClass", bound=type)
OVERRIDE_REASON = "OVERRIDE"
ATTRIBUTE = "_overridden_flags"  # of a test class: its own flags and those of its bases


class override_flags(ContextDecorator, TestContextDecorator):  # noqa: N801 - read as a statement
    """Set flags for what runs inside; all others are as `DEFAULTS` says, else off, and nothing asks the cache.

    A bool sets enabled, another value is the value of a flag that is on, a dict says both
    (`{"enabled": False, "value": 5}`), a `Flag` says all. Names that are no identifiers come in a dict:
    `override_flags({"new-checkout": True}, banner="text")`. For `with`, `async with`, functions, coroutine functions
    and test classes; `enable()` and `disable()` do it by hand, for a whole suite.
    """

    def __init__(self, flags: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        super().__init__()
        if not (flags is None or isinstance(flags, Mapping)):
            raise TypeError(f"Write override_flags(new_checkout=True), or give a dict of names, not {flags!r}.")
        made = [_make_flag(name, form) for name, form in {**(flags or {}), **more}.items()]
        self._flags = {flag.feature_name: flag for flag in made}

    def enter(self) -> Leave:
        return overrides.enter(self._flags)

    def enable(self) -> None:
        self.__enter__()

    def disable(self) -> None:
        self.__exit__()

    def decorate_class(self, cls: TestClass) -> TestClass:
        """Set the flags for a `TestCase` or a class of pytest's, `setUpClass` or `setup_class` included."""
        inherited = getattr(cls, ATTRIBUTE, None)
        setattr(cls, ATTRIBUTE, {**(inherited or {}), **self._flags})
        if inherited is None:
            (_enter_around_test_case if issubclass(cls, TestCase) else _enter_around_class)(cls)
        return cls


def _make_flag(name: object, form: Any) -> Flag:
    if not isinstance(name, (str, Promise)):
        raise TypeError(f"A flag's name is a string, not {name!r}.")
    name = flag_name(name)
    if isinstance(form, Flag):
        return replace(form, feature_name=name)
    if not DEFAULT.accepts(form):
        hint = "A JSON value is a string: json.dumps(…)."
        raise TypeError(f"The flag {name!r} can't be {form!r}: give {DEFAULT.words}, or a Flag. {hint}")
    return replace(default_flag(name, form), reason=OVERRIDE_REASON, is_default=False)


def _enter_around_test_case(test_class: Any) -> None:
    set_up = test_class.setUpClass.__func__

    def setUpClass(cls: Any) -> None:
        cls.addClassCleanup(overrides.enter(getattr(cls, ATTRIBUTE)))
        set_up(cls)

    test_class.setUpClass = classmethod(setUpClass)


def _enter_around_class(test_class: Any) -> None:
    """Do for a class of pytest's what `_enter_around_test_case` does."""
    set_up, tear_down = (_function_of(test_class, name) for name in ("setup_class", "teardown_class"))
    leave: dict[type, Leave] = {}

    def setup_class(cls: Any) -> None:
        leave[cls] = overrides.enter(getattr(cls, ATTRIBUTE))
        try:
            set_up(cls)
        except BaseException:
            leave.pop(cls)()
            raise

    def teardown_class(cls: Any) -> None:
        try:
            tear_down(cls)
        finally:
            leave.pop(cls)()

    test_class.setup_class = classmethod(setup_class)
    test_class.teardown_class = classmethod(teardown_class)


def _function_of(test_class: type, name: str) -> Callable[[Any], None]:
    """Return what pytest would call, which may take the class or nothing."""
    method = getattr(test_class, name, lambda: None)
    function: Any = getattr(method, "__func__", method)
    takes_class = bool(inspect.signature(function).parameters)
    return lambda cls: function(cls) if takes_class else function()

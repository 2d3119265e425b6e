"""Where the project calls something: a line of a template or of Python, or a view behind a flag."""

from __future__ import annotations

import sys
from pathlib import PurePath
from types import FrameType
from typing import Any

from .. import decorators, mixins
from ..compat import rendered_node

PACKAGE = __name__.partition(".")[0]
NOT_THE_PROJECT = {
    PACKAGE,
    "asgiref",
    "debug_toolbar",
    "django",
    "jinja2",
    "openfeature",
    "rest_framework",
    *sys.stdlib_module_names,
}


def caller() -> str:
    """Return the innermost place in the project that the current call comes from, or ""."""
    frame: FrameType | None = sys._getframe(1)
    while frame:
        if place := _place(frame):
            return place
        frame = frame.f_back
    return ""


def _place(frame: FrameType) -> str:
    """Return the place that a frame stands for; "" for a frame of this package, a framework or the standard library."""
    module = str(frame.f_globals.get("__name__", ""))
    if node := rendered_node(frame):
        return f"{node.origin.template_name or node.origin.name}:{node.token.lineno}" if node.token else ""
    if template := frame.f_globals.get("__jinja_template__"):
        return f"{template.name or template.filename}:{template.get_corresponding_lineno(frame.f_lineno)}"
    if module == decorators.__name__ and "view" in frame.f_locals:
        return f"@flag_enabled on {_dotted_name(frame.f_locals['view'])}"
    if module == mixins.__name__ and isinstance(view := frame.f_locals.get("self"), mixins.FlagEnabledMixin):
        return f"FlagEnabledMixin of {_dotted_name(type(view))}"
    if module.partition(".")[0] in NOT_THE_PROJECT:
        return ""
    path = PurePath(frame.f_code.co_filename)
    depth = module.count(".") + (2 if path.stem == "__init__" else 1)  # from the top package on
    return f"{'/'.join(path.parts[-depth:])}:{frame.f_lineno} in {frame.f_code.co_name}"


def _dotted_name(view: Any) -> str:
    return f"{view.__module__}.{getattr(view, '__qualname__', type(view).__qualname__)}"

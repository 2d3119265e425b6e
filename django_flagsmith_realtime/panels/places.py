"""Where in a project something is called from: a template's line, a view behind a flag, or a line of Python."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import PurePath
from types import FrameType
from typing import Any

from django.template.base import Node

from .. import decorators, mixins

OURS = __name__.partition(".")[0]
MACHINERY = {OURS, "asgiref", "debug_toolbar", "django", "jinja2", "rest_framework", *sys.stdlib_module_names}


def caller() -> str:
    """Return the place outside this package and the frameworks that the current call comes from."""
    return next(filter(None, map(_place, _frames())), "")


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame:
        yield frame
        frame = frame.f_back


def _place(frame: FrameType) -> str:
    """Return what of the project a frame stands for; nothing where it is of the machinery between."""
    module = str(frame.f_globals.get("__name__", ""))
    if frame.f_code is Node.render_annotated.__code__:
        return _in_template(frame.f_locals["self"])
    if template := frame.f_globals.get("__jinja_template__"):
        return f"{template.name or template.filename}:{template.get_corresponding_lineno(frame.f_lineno)}"
    if module == decorators.__name__ and "view" in frame.f_locals:
        return f"@flag_enabled on {_dotted(frame.f_locals['view'])}"
    if module == mixins.__name__ and isinstance(view := frame.f_locals.get("self"), mixins.FlagEnabledMixin):
        return f"FlagEnabledMixin of {_dotted(type(view))}"
    return "" if module.partition(".")[0] in MACHINERY else _in_file(frame, module)


def _in_template(node: Any) -> str:
    return f"{node.origin.template_name or node.origin.name}:{node.token.lineno}" if node.token else ""


def _in_file(frame: FrameType, module: str) -> str:
    code, path = frame.f_code, PurePath(frame.f_code.co_filename)
    depth = module.count(".") + (2 if path.stem == "__init__" else 1)
    return f"{'/'.join(path.parts[-depth:])}:{frame.f_lineno} in {code.co_name}"


def _dotted(view: Any) -> str:
    return f"{view.__module__}.{getattr(view, '__qualname__', type(view).__qualname__)}"

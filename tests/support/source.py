"""The package's source, for the tests that compare it with the pages and with its own rules."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import django_flagsmith_realtime

PACKAGE = Path(django_flagsmith_realtime.__file__).parent


@cache
def modules() -> dict[str, Path]:
    """Return the package's modules by their names in it, as "storage.store"; the package itself is "__init__"."""
    paths = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in paths.items()}


@cache
def nodes(module: str) -> tuple[ast.AST, ...]:
    """Return all nodes of a module's syntax tree."""
    return tuple(ast.walk(ast.parse(modules()[module].read_text())))

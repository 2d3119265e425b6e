"""The rooms of the package: each module imports only from the rows below its own."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache

from tests.support.source import modules, nodes

ROWS = (
    (
        "admin",
        "apps",
        "celery",
        "checks",
        "management",
        "openfeature",
        "panels",
        "prometheus",
        "tasks",
        "urls",
        "views",
    ),  # shells: wiring and looks
    ("monitoring",),
    ("listener",),
    ("decorators", "mixins", "middleware", "context_processors", "templatetags", "jinja2", "test", "pytest_plugin"),
    ("live",),
    ("__init__", "api"),
    ("reading",),
    ("storage",),
    ("environment",),
    ("compat", "conf", "exceptions", "identity", "request_body", "signals"),
)
ROW_OF = {room: number for number, row in enumerate(ROWS) for room in row}
READS = ("reading", "api", "live", *ROWS[3])
FETCHES = {"listener.sources", "listener.stream", "listener.http"}
NETWORK = {"requests", "urllib3", "http"}


@cache
def imports_of(module: str) -> frozenset[str]:
    """Return the package's modules that one imports itself, wherever in the file."""
    return frozenset(imported(module, nodes(module)))


def imported(module: str, nodes: Iterable[ast.AST]) -> Iterator[str]:
    here = [part for part in module.split(".") if part != "__init__"]
    package = here if modules()[module].name == "__init__.py" else here[:-1]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level:
            up = package[: len(package) - node.level + 1]
            base = ".".join([*up, node.module] if node.module else up)
            for alias in node.names:
                name = f"{base}.{alias.name}".strip(".")
                yield name if name in modules() else base or "__init__"


def libraries_of(module: str) -> set[str]:
    plain = {alias.name for node in nodes(module) if isinstance(node, ast.Import) for alias in node.names}
    plain |= {
        node.module for node in nodes(module) if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    return {name.split(".")[0] for name in plain}


def room(module: str) -> str:
    return module.split(".")[0]


def forbidden(module: str, target: str) -> bool:
    """Tell whether an import goes up."""
    return ROW_OF[room(target)] < ROW_OF[room(module)]


def test_each_module_has_its_room_and_imports_go_down() -> None:
    assert {room(module) for module in modules()} <= set(ROW_OF)
    assert [(module, other) for module in modules() for other in imports_of(module) if forbidden(module, other)] == []


def test_an_import_that_goes_up_is_found() -> None:
    for source, target in {
        "from ..listener.stream import EventStream": "listener.stream",
        "from ..listener import stream": "listener.stream",
        "from .. import views": "views",
        "def read():\n    from ..listener import sources": "listener.sources",
    }.items():
        found = list(imported("reading.reader", ast.walk(ast.parse(source))))
        assert found == [target]
        assert forbidden("reading.reader", target)


def test_no_circle() -> None:
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " <- ".join((*way, module))
        if module not in done:
            for target in imports_of(module):
                visit(target, (*way, module))
            done.add(module)

    for module in modules():
        visit(module, ())


def reached_from(module: str) -> set[str]:
    """Return what a module imports, however indirectly."""
    found: set[str] = set()
    pending = {module}
    while pending:
        new = imports_of(pending.pop()) - found
        found |= new
        pending |= new
    return found


def test_what_reads_cannot_reach_the_network() -> None:
    readers = [module for module in modules() if room(module) in READS]
    assert len(readers) > 10
    assert {module: fetches for module in readers if (fetches := reached_from(module) & FETCHES)} == {}


def test_only_what_fetches_uses_the_network() -> None:
    assert {module for module in modules() if libraries_of(module) & NETWORK} <= FETCHES

"""The template tags' twins for Jinja2: `{% flag %}`, `flag_value()`, `get_flag()`, `flags_json()`, `flags_live()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, nodes, pass_context
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context

from .api import Flags, aget_flags, get_flags
from .live.script import live_script
from .reading.rendering import STATE_ID, request_of, state_script


class FlagsmithExtension(Extension):
    """Add the tag and the functions to an environment, sync or async."""

    tags = {"flag"}  # noqa: RUF012 - declared so by Jinja2

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals.update(
            flag_value=flag_value, get_flag=get_flag, flags_json=flags_json, flags_live=flags_live
        )

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        name = None if parser.stream.current.test("block_end") else parser.parse_expression()
        if name is None or not parser.stream.current.test("block_end"):
            parser.fail('{% flag %} takes the name of one flag: {% flag "new_checkout" %}')
        on = parser.parse_statements(("name:else", "name:endflag"))
        off: list[nodes.Node] = []
        if next(parser.stream).test("name:else"):
            off = parser.parse_statements(("name:endflag",), drop_needle=True)
        test = self.call_method("_is_enabled", [nodes.ContextReference(), name], lineno=line)
        return nodes.If(test, on, [], off, lineno=line)

    def _is_enabled(self, context: Context, name: Any) -> Any:
        return _read(context, lambda flags: flags.is_feature_enabled(name))


@pass_context
def flag_value(context: Context, name: Any, default: Any = None) -> Any:
    """Return a flag's value: `{{ flag_value("banner", default="Welcome") }}`."""

    def use(flags: Flags) -> Any:
        value = flags.get_feature_value(name, default)
        return "" if value is None else value

    return _read(context, use)


@pass_context
def get_flag(context: Context, name: Any) -> Any:
    """Return a flag: `{{ get_flag("new-checkout").enabled }}`."""
    return _read(context, lambda flags: flags.get_flag(name))


@pass_context
def flags_json(context: Context, name: Any, *names: Any, id: str = STATE_ID) -> Any:
    """Return the named flags for the page's JavaScript: `{{ flags_json("new_checkout", "banner") }}`."""
    return _read(context, lambda flags: state_script(flags, (name, *names), id))


@pass_context
def flags_live(context: Context) -> Any:
    """Return the script that dispatches `flagsmith:changed` on the page's document: `{{ flags_live() }}`."""
    return _read(context, lambda flags: live_script(flags, request_of(context)))


def _read(context: Context, use: Callable[[Flags], Any]) -> Any:
    """Return what `use` returns for the request's flags; an async environment awaits it, so that nothing blocks."""
    request = request_of(context)

    async def aread() -> Any:
        return use(await aget_flags(request))

    return aread() if context.environment.is_async else use(get_flags(request))

"""Template tags: `{% flag %}`, `{% flag_value %}`, `{% get_flag %}`, `{% flags_json %}`, `{% flags_live %}`."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.base import FilterExpression, NodeList, Parser, Token
from django.template.context import Context
from django.utils.safestring import SafeString
from flagsmith.models import Flag

from ..api import Flags, get_flags
from ..live.script import live_script
from ..reading.rendering import STATE_ID, request_of, state_script

register = template.Library()


def _flags(context: Context) -> Flags:
    return get_flags(request_of(context))


class FlagNode(template.Node):
    """Renders one of two parts of a template."""

    child_nodelists = ("on", "off")

    def __init__(self, name: FilterExpression, on: NodeList, off: NodeList) -> None:
        self.name = name
        self.on = on
        self.off = off

    def render(self, context: Context) -> str:
        name = self.name.resolve(context, ignore_failures=True)
        enabled = _flags(context).is_feature_enabled(name)
        return (self.on if enabled else self.off).render(context)


@register.tag
def flag(parser: Parser, token: Token) -> FlagNode:
    """Render what is inside while a flag is on: `{% flag "name" %}…{% else %}…{% endflag %}`."""
    tag, *arguments = token.split_contents()
    if len(arguments) != 1:
        raise template.TemplateSyntaxError(f'{{% {tag} %}} takes the name of one flag: {{% {tag} "new_checkout" %}}')
    on, off = parser.parse(("else", "endflag")), NodeList()
    if parser.next_token().contents == "else":
        off = parser.parse(("endflag",))
        parser.delete_first_token()
    return FlagNode(parser.compile_filter(arguments[0]), on, off)


@register.simple_tag(takes_context=True)
def flag_value(context: Context, name: str, default: Any = None) -> Any:
    """Output a flag's value, escaped: `{% flag_value "banner" default="Welcome" %}`, also `… as text`."""
    value = _flags(context).get_feature_value(name, default)
    return "" if value is None else value


@register.simple_tag(takes_context=True)
def get_flag(context: Context, name: str) -> Flag:
    """Put a flag into a variable: `{% get_flag "new-checkout" as checkout %}`."""
    return _flags(context).get_flag(name)


@register.simple_tag(takes_context=True)
def flags_json(context: Context, name: str, *names: str, id: str = STATE_ID) -> SafeString:
    """Output the named flags for the page's JavaScript: `{% flags_json "new_checkout" "banner" %}`."""
    return state_script(_flags(context), (name, *names), id)


@register.simple_tag(takes_context=True)
def flags_live(context: Context) -> SafeString:
    """Output the script that dispatches `flagsmith:changed` on the page's document when flags change."""
    return live_script(_flags(context), request_of(context))

"""`{% flag %}`, `{% flag_value %}` and `{% get_flag %}`."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest
from django.template import Context, RequestContext, Template, TemplateSyntaxError
from django.test import RequestFactory

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.exceptions import UnknownFlag
from django_flagsmith_realtime.reader import get_reader
from django_flagsmith_realtime.scope import request_scope

from .documents import publish

IF_NEW = '{% flag "new_checkout" %}new{% else %}old{% endflag %}'


def render(source: str, request_: HttpRequest | None = None, **context: Any) -> str:
    template = Template("{% load flagsmith %}" + source)
    return template.render(RequestContext(request_, context) if request_ else Context(context))


@pytest.fixture
def request_() -> HttpRequest:
    return RequestFactory().get("/")


class TestFlag:
    @pytest.mark.parametrize(("enabled", "expected"), [(True, "new"), (False, "old")])
    def test_one_of_two_parts_is_rendered(self, enabled: bool, expected: str) -> None:
        publish(new_checkout=enabled)
        assert render(IF_NEW) == expected

    def test_else_may_be_left_out(self) -> None:
        publish(new_checkout=False)
        assert render('[{% flag "new_checkout" %}new{% endflag %}]') == "[]"

    def test_flags_nest(self) -> None:
        publish(new_checkout=True, gift_cards=False)
        inner = '{% flag "gift_cards" %}a{% else %}b{% endflag %}'
        assert render(f'{{% flag "new_checkout" %}}[{inner}]{{% else %}}({inner}){{% endflag %}}') == "[b]"
        publish(new_checkout=False, gift_cards=True)
        get_reader().current()
        assert render(f'{{% flag "new_checkout" %}}[{inner}]{{% else %}}({inner}){{% endflag %}}') == "(a)"

    def test_if_and_else_keep_apart(self) -> None:
        publish(new_checkout=True)
        assert render('{% flag "new_checkout" %}{% if no %}1{% else %}2{% endif %}{% else %}3{% endflag %}') == "2"

    def test_loops_includes_and_blocks_may_hold_them(self) -> None:
        publish(new_checkout=True)
        assert render("{% for i in '123' %}" + IF_NEW + "{% endfor %}") == "newnewnew"
        assert render('{% include "part.html" %}').strip() == "new"
        assert render('{% include "part.html" only %}').strip() == "new"
        assert (
            render(
                "{% for name in names %}{% flag name %}{{ name }} {% endflag %}{% endfor %}",
                names=["new_checkout", "gift_cards", "dark_mode"],
            )
            == "new_checkout dark_mode "
        )

    def test_a_name_may_be_a_variable_or_go_through_filters(self) -> None:
        publish(new_checkout=True)
        assert render("{% flag name %}new{% endflag %}", name="new_checkout") == "new"
        assert render('{% flag name|default:"new_checkout" %}new{% endflag %}') == "new"
        assert render("[{% flag name %}new{% endflag %}]") == "[]"

    @pytest.mark.parametrize("arguments", ["", '"a" "b"', '"a" as b'])
    def test_other_arguments_are_an_error_that_shows_how(self, arguments: str) -> None:
        with pytest.raises(TemplateSyntaxError, match=r'\{% flag "new_checkout" %\}'):
            render("{% flag " + arguments + " %}{% endflag %}")

    @pytest.mark.parametrize(
        "source", ['{% flag "a" %}', '{% flag "a" %}{% else %}', '{% flag "a" %}{% if b %}{% endflag %}']
    )
    def test_a_missing_end_is_an_error(self, source: str) -> None:
        with pytest.raises(TemplateSyntaxError, match="endflag"):
            render(source)

    def test_the_parts_are_found_by_those_who_walk_the_template(self) -> None:
        template = Template("{% load flagsmith %}{% flag 'a' %}{{ one }}{% else %}{{ two }}{% endflag %}")
        assert [
            str(node.token.contents)
            for node in template.nodelist.get_nodes_by_type(type(Template("{{ x }}").nodelist[0]))
        ] == ["one", "two"]

    def test_a_template_renders_in_several_threads_with_what_each_sees(self, request_: HttpRequest) -> None:
        template = Template("{% load flagsmith %}" + IF_NEW)
        publish(new_checkout=True)
        assert template.render(RequestContext(request_)) == "new"
        publish(new_checkout=False)
        assert template.render(RequestContext(request_)) == "new"
        assert template.render(RequestContext(RequestFactory().get("/"))) == "old"


class TestFlagValue:
    def test_a_value_is_escaped(self) -> None:
        publish(banner_text="<script>alert('&')</script>")
        assert render('{% flag_value "banner_text" %}') == "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;"
        assert (
            render('{% flag_value "banner_text" as text %}{{ text }}')
            == "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;"
        )
        assert render('{% autoescape off %}{% flag_value "banner_text" %}{% endautoescape %}').startswith("<script>")

    def test_a_value_may_be_of_any_type(self) -> None:
        publish()
        assert render('{% flag_value "max_cart_items" %} {% flag_value "bool_value" %}') == "25 True"
        assert render('{% flag_value "max_cart_items" as n %}{{ n|add:1 }}') == "26"

    def test_the_default_stands_in(self) -> None:
        publish()
        assert render('{% flag_value "dark_mode" default=other %}', other="<none>") == "&lt;none&gt;"
        assert render('{% flag_value "typo" default="Welcome" %}') == "Welcome"
        assert render('{% flag_value "typo" "Welcome" %}') == "Welcome"
        assert render('{% flag_value "banner_text" default="x" as text %}{{ text }}') == "Welcome to Northwind"

    def test_no_value_at_all_is_nothing(self) -> None:
        publish()
        assert render('[{% flag_value "dark_mode" %}{% flag_value "typo" %}]') == "[]"
        assert render('[{% flag_value "typo" as text %}{{ text }}]') == "[]"

    def test_defaults_stand_in_where_the_tag_gives_none(self, settings: Any) -> None:
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "DEFAULTS": {"later": "from settings"}}
        assert render('{% flag_value "later" %}') == "from settings"
        assert render('{% flag_value "later" default="from the tag" %}') == "from the tag"

    def test_strict_holds_in_templates(self, settings: Any) -> None:
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "STRICT": True}
        for source in ('{% flag_value "typo" %}', '{% flag "typo" %}{% endflag %}', '{% get_flag "typo" as f %}'):
            with pytest.raises(UnknownFlag):
                render(source)
        assert render('{% flag_value "typo" default="ok" %}') == "ok"


class TestGetFlag:
    def test_a_flag_is_put_into_a_variable(self) -> None:
        publish()
        source = '{% get_flag "banner_text" as banner %}{{ banner.enabled }} {{ banner.value }} {{ banner.reason }}'
        assert render(source) == "True Welcome to Northwind STATIC"

    def test_an_unknown_flag_is_off(self) -> None:
        assert render('{% get_flag "typo" as f %}{% if f.enabled %}on{% else %}off{% endif %}') == "off"


class TestRequest:
    def test_tags_pin_on_the_request_of_the_context(self, request_: HttpRequest) -> None:
        publish(new_checkout=True)
        assert get_flags(request_).is_feature_enabled("new_checkout")
        publish(new_checkout=False)
        get_reader().current()
        assert render(IF_NEW, request_) == "new"
        assert render('{% include "part.html" only %}', request_).strip() == "new"
        assert render(IF_NEW, None, request=request_) == "new"
        assert render(IF_NEW) == "old"

    def test_without_a_request_the_scope_of_the_context_counts(self, request_: HttpRequest) -> None:
        publish(new_checkout=True)
        with request_scope(request_):
            assert render(IF_NEW) == "new"
            publish(new_checkout=False)
            get_reader().current()
            assert render(IF_NEW) == "new"

    @pytest.mark.parametrize("thing", ["GET /", 7, None, {"id": 1}, object()])
    def test_a_variable_that_happens_to_be_called_request_does_no_harm(self, thing: Any) -> None:
        publish(new_checkout=True)
        assert render(IF_NEW, None, request=thing) == "new"

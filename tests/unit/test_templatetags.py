"""`{% flag %}`, `{% flag_value %}` and `{% get_flag %}`; `{% flags_json %}` is in `test_rendering.py`."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django
import pytest
from django.http import HttpRequest
from django.template import Context, Engine, RequestContext, Template, TemplateSyntaxError
from django.test import RequestFactory

from django_flagsmith_realtime import get_flags
from django_flagsmith_realtime.exceptions import UnknownFlag
from django_flagsmith_realtime.reading import flags
from django_flagsmith_realtime.reading.reader import get_reader
from django_flagsmith_realtime.reading.scope import Scope, request_flags
from tests.support.cases import each_case
from tests.support.documents import pin, publish

IF_NEW = '{% flag "new_checkout" %}new{% else %}old{% endflag %}'


PAGES = {
    "base.html": '{% load flagsmith %}<{% flag "dark_mode" %}dark{% else %}light{% endflag %}>{% block main %}{% endblock %}',
    "page.html": f'{{% extends "base.html" %}}{{% load flagsmith %}}{{% block main %}}{IF_NEW}{{% endblock %}}',
    "choice.html": """{% load flagsmith %}{% flag "new_checkout" %}{% include "base.html" %}{% else %}{% endflag %}""",
    "blocks.html": """{% load flagsmith %}{% flag "new_checkout" %}{% block a %}1{% endblock %}{% else %}{% block b %}2{% endblock %}{% endflag %}""",
    "filled.html": """{% extends "blocks.html" %}{% block a %}[{{ block.super }}]{% endblock %}{% block b %}({{ block.super }}){% endblock %}""",
}


def cached_engine() -> Engine:
    """Return an engine with the loader of a production site."""
    loaders = [("django.template.loaders.cached.Loader", [("django.template.loaders.locmem.Loader", PAGES)])]
    return Engine(loaders=loaders, libraries={"flagsmith": "django_flagsmith_realtime.templatetags.flagsmith"})


def render(source: str, request_: HttpRequest | None = None, **context: Any) -> str:
    template = Template("{% load flagsmith %}" + source)
    return template.render(RequestContext(request_, context) if request_ else Context(context))


@pytest.fixture
def request_() -> HttpRequest:
    return RequestFactory().get("/")


class TestFlag:
    @each_case(("enabled", "expected"), [(True, "new"), (False, "old")])
    def test_one_of_two_parts_is_rendered(self, enabled: bool, expected: str) -> None:
        publish(new_checkout=enabled)
        assert render(IF_NEW) == expected
        assert render('[{% flag "new_checkout" %}new{% endflag %}]') == ("[new]" if enabled else "[]")

    def test_flags_nest_and_keep_apart_from_if_and_else(self) -> None:
        publish(new_checkout=True, gift_cards=False)
        inner = '{% flag "gift_cards" %}a{% else %}b{% endflag %}'
        assert render(f'{{% flag "new_checkout" %}}[{inner}]{{% else %}}({inner}){{% endflag %}}') == "[b]"
        assert render('{% flag "new_checkout" %}{% if no %}1{% else %}2{% endif %}{% else %}3{% endflag %}') == "2"
        publish(new_checkout=False, gift_cards=True)
        get_reader().current()
        assert render(f'{{% flag "new_checkout" %}}[{inner}]{{% else %}}({inner}){{% endflag %}}') == "(a)"

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

    def test_they_work_in_templates_that_extend_others(self) -> None:
        engine = cached_engine()
        publish(new_checkout=True, dark_mode=False)
        assert engine.get_template("page.html").render(Context()) == "<light>new"
        assert engine.get_template("choice.html").render(Context()) == "<light>"
        assert engine.get_template("filled.html").render(Context()) == "[1]"
        publish(new_checkout=False, dark_mode=True)
        get_reader().current()
        assert engine.get_template("page.html") is engine.get_template("page.html"), "cached"
        assert engine.get_template("page.html").render(Context()) == "<dark>old"
        assert engine.get_template("choice.html").render(Context()) == ""
        assert engine.get_template("filled.html").render(Context()) == "(2)"

    if django.VERSION >= (6, 0):

        def test_partials_may_hold_them(self) -> None:
            source = f"{{% partialdef part %}}{IF_NEW}{{% endpartialdef %}}{{% partial part %}}, {{% partial part %}}"
            publish(new_checkout=True)
            assert render(source) == "new, new"
            assert render('{% flag "new_checkout" %}{% partialdef x inline %}1{% endpartialdef %}{% endflag %}') == "1"

    def test_what_is_inside_keeps_the_escaping_of_its_place(self) -> None:
        publish(new_checkout=True)
        source = '{% flag "new_checkout" %}{{ text }}{% endflag %}'
        assert render(source, text="<&>") == "&lt;&amp;&gt;"
        assert render("{% autoescape off %}" + source + "{% endautoescape %}", text="<&>") == "<&>"

    def test_a_name_may_be_a_variable_or_go_through_filters(self) -> None:
        publish(new_checkout=True)
        assert render("{% flag name %}new{% endflag %}", name="new_checkout") == "new"
        assert render('{% flag name|default:"new_checkout" %}new{% endflag %}') == "new"
        assert render("[{% flag name %}new{% endflag %}]") == "[]"
        source = '{% with name="new_checkout" text="hi" %}{% flag name %}{{ text }}{% endflag %}{% endwith %}'
        assert render(source) == "hi"

    @each_case(
        "source",
        [
            "{% flag new_checkout %}new{% endflag %}",
            "{% flag_value new_checkout default='' %}",
            "{% get_flag new_checkout as f %}",
            "{% flags_json new_checkout as state %}",
        ],
    )
    def test_a_name_that_lacks_its_quotes_is_reported_with_a_hint(
        self, source: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(new_checkout=True)
        flags._logged.clear()  # each is reported once
        caplog.clear()
        for _ in range(3):
            assert render(source) == ""
        [record] = caplog.records
        assert record.levelno == logging.WARNING
        assert 'names stand in quotes: {% flag "new_checkout" %}' in record.getMessage()

    def test_what_a_project_shows_for_missing_variables_is_no_name(
        self, caplog: pytest.LogCaptureFixture, settings: Any
    ) -> None:
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "OPTIONS": {"string_if_invalid": "?? %s"}}]
        publish()
        assert render("{% flag new_checkout %}new{% endflag %}") == ""
        assert "names stand in quotes" in caplog.text

    def test_a_name_that_lacks_its_quotes_raises_while_strict(self, settings: Any) -> None:
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "STRICT": True}
        publish()
        with pytest.raises(UnknownFlag, match="names stand in quotes"):
            render("{% flag new_checkout %}{% endflag %}")
        with pytest.raises(UnknownFlag, match="names stand in quotes"):
            render("{% flag_value banner_text default='Welcome' %}")

    @each_case("arguments", ["", '"a" "b"', '"a" as b'])
    def test_other_arguments_are_an_error_that_shows_how(self, arguments: str) -> None:
        with pytest.raises(TemplateSyntaxError, match=r'\{% flag "new_checkout" %\}'):
            render("{% flag " + arguments + " %}{% endflag %}")

    def test_a_missing_end_or_another_part_is_an_error(self) -> None:
        for source in ('{% flag "a" %}', '{% flag "a" %}{% else %}', '{% flag "a" %}{% if b %}{% endflag %}'):
            with pytest.raises(TemplateSyntaxError, match="endflag"):
                render(source)
        for more in ("{% else %}2", "{% elif b %}2", "{% empty %}2"):
            with pytest.raises(TemplateSyntaxError, match=r"expected .*'endflag'"):
                render('{% flag "a" %}1{% else %}1' + more + "{% endflag %}")

    def test_the_parts_are_found_by_those_who_walk_the_template(self) -> None:
        template = Template("{% load flagsmith %}{% flag 'a' %}{{ one }}{% else %}{{ two }}{% endflag %}")
        assert [
            str(node.token.contents)
            for node in template.nodelist.get_nodes_by_type(type(Template("{{ x }}").nodelist[0]))
        ] == ["one", "two"]

    def test_each_request_renders_what_it_pinned(self, request_: HttpRequest) -> None:
        template = Template("{% load flagsmith %}" + IF_NEW)
        publish(new_checkout=True)
        assert template.render(RequestContext(request_)) == "new"
        publish(new_checkout=False)
        assert template.render(RequestContext(request_)) == "new"
        assert template.render(RequestContext(RequestFactory().get("/"))) == "old"

    def test_one_template_renders_in_many_threads_with_what_each_sees(self) -> None:
        template = Template(
            "{% load flagsmith %}" + IF_NEW + '{% flag_value "banner_text" as text %}{{ text }}' + IF_NEW
        )
        pinned = []
        for number in range(8):
            publish(new_checkout=bool(number % 2), banner_text=str(number))
            pinned.append(RequestFactory().get("/"))
            pin(pinned[-1])

        def show(number: int) -> set[str]:
            return {template.render(RequestContext(pinned[number])) for _ in range(40)}

        with ThreadPoolExecutor(8) as threads:
            shown = list(threads.map(show, range(8)))
        assert shown == [{("new{0}new" if number % 2 else "old{0}old").format(number)} for number in range(8)]


class TestFlagValue:
    def test_a_value_is_escaped_and_may_be_of_any_type(self) -> None:
        publish(banner_text="<script>alert('&')</script>")
        assert render('{% flag_value "banner_text" %}') == "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;"
        assert (
            render('{% flag_value "banner_text" as text %}{{ text }}')
            == "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;"
        )
        assert render('{% autoescape off %}{% flag_value "banner_text" %}{% endautoescape %}').startswith("<script>")
        assert render('{% flag_value "max_cart_items" %} {% flag_value "bool_value" %}') == "25 True"
        assert render('{% flag_value "max_cart_items" as n %}{{ n|add:1 }}') == "26"

    def test_the_default_stands_in_and_no_value_at_all_is_nothing(self) -> None:
        publish()
        assert render('{% flag_value "dark_mode" default=other %}', other="<none>") == "&lt;none&gt;"
        assert render('{% flag_value "typo" default="Welcome" %}') == "Welcome"
        assert render('{% flag_value "typo" "Welcome" %}') == "Welcome"
        assert render('{% flag_value "banner_text" default="x" as text %}{{ text }}') == "Welcome to Northwind"
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
    def test_a_flag_is_put_into_a_variable_and_an_unknown_one_is_off(self) -> None:
        publish()
        source = '{% get_flag "banner_text" as banner %}{{ banner.enabled }} {{ banner.value }} {{ banner.reason }}'
        assert render(source) == "True Welcome to Northwind STATIC"
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
        with Scope(request_flags(request_)):
            assert render(IF_NEW) == "new"
            publish(new_checkout=False)
            get_reader().current()
            assert render(IF_NEW) == "new"

    @each_case("thing", ["GET /", 7, None, {"id": 1}, object()])
    def test_a_variable_that_happens_to_be_called_request_does_no_harm(self, thing: Any) -> None:
        publish(new_checkout=True)
        assert render(IF_NEW, None, request=thing) == "new"

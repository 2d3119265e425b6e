"""The template tags' twins for Jinja2, by itself and in Django's backend, sync and async."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jinja2
import pytest
from django.http import HttpRequest
from django.template.backends.jinja2 import Jinja2
from django.test import RequestFactory
from jinja2.sandbox import SandboxedEnvironment

import django_flagsmith_realtime
from django_flagsmith_realtime.exceptions import UnknownFlag
from django_flagsmith_realtime.jinja2 import FlagsmithExtension
from django_flagsmith_realtime.reading.reader import get_reader
from django_flagsmith_realtime.reading.scope import Scope, request_flags
from tests.support.cases import each_case
from tests.support.documents import pin, publish
from tests.support.paths import ROOT

EXTENSION = "django_flagsmith_realtime.jinja2.FlagsmithExtension"
IF_NEW = '{% flag "new_checkout" %}new{% else %}old{% endflag %}'
PAGES = {
    "base.html": '<{% flag "dark_mode" %}dark{% else %}light{% endflag %}>{% block main %}{% endblock %}',
    "page.html": f'{{% extends "base.html" %}}{{% block main %}}{IF_NEW}{{% endblock %}}',
    "macros.html": f"{{% macro show(text) %}}{IF_NEW} {{{{ text }}}} {{{{ flag_value('banner_text') }}}}{{% endmacro %}}",
    "part.html": IF_NEW,
}


def environment(**options: Any) -> jinja2.Environment:
    defaults = {"autoescape": True, "extensions": [EXTENSION], "loader": jinja2.DictLoader(PAGES)}
    return jinja2.Environment(**{**defaults, **options})


@pytest.fixture
def renderers() -> list[Callable[..., str]]:
    """Functions that render a source with some variables, in a sync environment and in an async one."""
    sync_, async_ = environment(), environment(enable_async=True)
    return [
        lambda source, /, **variables: sync_.from_string(source).render(variables),
        lambda source, /, **variables: asyncio.run(async_.from_string(source).render_async(variables)),
    ]


@pytest.fixture
def render(renderers: list[Callable[..., str]]) -> Callable[..., str]:
    """Render a source, which both environments do alike."""

    def render(source: str, /, **variables: Any) -> str:
        [shown] = {each(source, **variables) for each in renderers}
        return shown

    return render


@pytest.fixture
def request_() -> HttpRequest:
    return RequestFactory().get("/")


class TestTag:
    @each_case(("enabled", "expected"), [(True, "new"), (False, "old")])
    def test_one_of_two_parts_is_rendered(self, render: Callable[..., str], enabled: bool, expected: str) -> None:
        publish(new_checkout=enabled)
        assert render(IF_NEW) == expected
        assert render('[{% flag "new_checkout" %}new{% endflag %}]') == ("[new]" if enabled else "[]")

    def test_flags_nest_and_keep_apart_from_if_and_else(self, render: Callable[..., str]) -> None:
        publish(new_checkout=True, gift_cards=False)
        inner = '{% flag "gift_cards" %}a{% else %}b{% endflag %}'
        assert render(f'{{% flag "new_checkout" %}}[{inner}]{{% else %}}({inner}){{% endflag %}}') == "[b]"
        assert render('{% flag "new_checkout" %}{% if no %}1{% else %}2{% endif %}{% else %}3{% endflag %}') == "2"

    def test_loops_includes_and_blocks_may_hold_them(self, render: Callable[..., str]) -> None:
        publish(new_checkout=True, dark_mode=False)
        assert render("{% for i in '123' %}" + IF_NEW + "{% endfor %}") == "newnewnew"
        assert render('{% include "part.html" %}') == "new"
        assert render('{% include "part.html" without context %}') == "new"
        assert render('{% extends "page.html" %}') == "<light>new"
        assert (
            render("{% for name in names %}{% flag name %}{{ name }} {% endflag %}{% endfor %}", names=["dark_mode"])
            == ""
        )

    def test_a_name_may_be_any_expression(self, render: Callable[..., str]) -> None:
        publish(new_checkout=True)
        assert render("{% flag name %}new{% endflag %}", name="new_checkout") == "new"
        assert render('{% flag "new_" ~ which|lower %}new{% endflag %}', which="CHECKOUT") == "new"

    @each_case(
        ("source", "expected"),
        [
            ('a {%- flag "new_checkout" -%} b {%- else -%} c {%- endflag -%} d', "abd"),
            ('{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}{% flag "new_checkout" %}x{% endflag %}{% endcall %}', "[x]"),
            ('{% filter upper %}{% flag "new_checkout" %}x{% endflag %}{% endfilter %}', "X"),
            ('{% set text %}{% flag "new_checkout" %}x{% endflag %}{% endset %}{{ text }}', "x"),
        ],
    )  # fmt: skip
    def test_what_jinja2_can_hold_holds_them(self, render: Callable[..., str], source: str, expected: str) -> None:
        publish(new_checkout=True)
        assert render(source) == expected

    def test_what_is_set_inside_is_set_outside_as_with_if(self, render: Callable[..., str]) -> None:
        publish(new_checkout=True)
        assert render('{% flag "new_checkout" %}{% set x = 1 %}{% endflag %}{{ x }}') == "1"

    @each_case("arguments", ["", '"a", "b"', "a b", '"a" as b'])
    def test_other_arguments_are_an_error_that_shows_how(self, arguments: str) -> None:
        with pytest.raises(jinja2.TemplateSyntaxError, match=r'\{% flag "new_checkout" %\}') as raised:
            environment().from_string("\n{% flag " + arguments + " %}{% endflag %}")
        assert raised.value.lineno == 2

    @each_case(
        "source",
        [
            '{% flag "a" %}',
            '{% flag "a" %}{% else %}',
            '{% flag "a" %}{% else %}{% else %}{% endflag %}',
            '{% flag "a" %}{% elif b %}{% endflag %}',
        ],
    )
    def test_a_missing_end_or_another_part_is_an_error(self, source: str) -> None:
        with pytest.raises(jinja2.TemplateSyntaxError, match="endflag"):
            environment().from_string(source)

    def test_a_name_that_lacks_its_quotes_is_reported_with_a_hint(
        self, render: Callable[..., str], caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(new_checkout=True)
        assert render("{% flag new_checkout %}new{% endflag %}") == ""
        assert render("{{ flag_value(banner_text, default='Hi') }}") == "Hi"
        [record] = caplog.records
        assert "names stand in quotes" in record.getMessage()


class TestFunctions:
    def test_a_value_is_escaped_and_may_be_of_any_type(self, render: Callable[..., str]) -> None:
        publish(banner_text="<script>")
        assert render('{{ flag_value("banner_text") }}') == "&lt;script&gt;"
        assert render('{% autoescape false %}{{ flag_value("banner_text") }}{% endautoescape %}') == "<script>"
        assert render('{% set text = flag_value("banner_text") %}{{ text }}') == "&lt;script&gt;"
        assert render('{{ flag_value("max_cart_items") + 1 }} {{ flag_value("bool_value") }}') == "26 True"

    def test_the_default_stands_in_and_no_value_at_all_is_nothing(self, render: Callable[..., str]) -> None:
        publish()
        assert render('{{ flag_value("typo", default="Welcome") }}{{ flag_value("typo", "!") }}') == "Welcome!"
        assert render('[{{ flag_value("dark_mode") }}{{ flag_value("typo") }}]') == "[]"

    def test_a_flag_has_its_parts(self, render: Callable[..., str]) -> None:
        publish()
        assert render('{{ get_flag("banner_text").enabled }} {{ get_flag("banner_text").value }}').startswith("True W")
        assert render('{% set flag = get_flag("typo") %}{{ flag.enabled }}') == "False"
        assert (
            render('{% if get_flag("dark_mode").enabled and get_flag("banner_text").enabled %}yes{% endif %}') == "yes"
        )

    def test_strict_holds(self, renderers: list[Callable[..., str]], settings: Any) -> None:
        settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "STRICT": True}
        publish()
        for source in ('{{ flag_value("typo") }}', '{% flag "typo" %}{% endflag %}', '{{ get_flag("typo") }}'):
            for render in renderers:
                with pytest.raises(UnknownFlag):
                    render(source)

    def test_macros_see_the_flags_with_and_without_the_callers_context(
        self, render: Callable[..., str], request_: HttpRequest
    ) -> None:
        publish(new_checkout=True, banner_text="<1>")
        pin(request_)
        publish(new_checkout=False, banner_text="<2>")
        get_reader().current()
        for how in ("import 'macros.html' as m", "from 'macros.html' import show"):
            call = "m.show('&')" if " as m" in how else "show('&')"
            source = f"{{% {how} with context %}}{{{{ {call} }}}}"
            assert render(source, request=request_) == "new &amp; &lt;1&gt;"
            source = f"{{% {how} %}}{{{{ {call} }}}}"
            assert render(source, request=request_) == "old &amp; &lt;2&gt;"
            with Scope(request_flags(request_)):
                assert render(source) == "new &amp; &lt;1&gt;"


class TestRequest:
    def test_the_request_of_the_context_counts_else_the_scope(
        self, render: Callable[..., str], request_: HttpRequest
    ) -> None:
        publish(new_checkout=True)
        pin(request_)
        publish(new_checkout=False)
        get_reader().current()
        assert render(IF_NEW, request=request_) == "new"
        assert render(IF_NEW) == "old"
        with Scope(request_flags(request_)):
            assert render(IF_NEW) == "new"

    @each_case("thing", ["GET /", 7, None, {"id": 1}, object()])
    def test_a_variable_that_happens_to_be_called_request_does_no_harm(
        self, render: Callable[..., str], thing: Any
    ) -> None:
        publish(new_checkout=True)
        assert render(IF_NEW, request=thing) == "new"


class TestBackend:
    """Django's own `django.template.backends.jinja2.Jinja2`."""

    @each_case("options", [{"extensions": [EXTENSION]}, {"environment": "tests.unit.test_jinja2.project_environment"}])
    def test_the_tags_and_the_context_processor_see_the_request(self, options: dict[str, Any]) -> None:
        processors = {"context_processors": ["django_flagsmith_realtime.context_processors.flags"]}
        backend = Jinja2({"NAME": "jinja2", "DIRS": [], "APP_DIRS": True, "OPTIONS": {**options, **processors}})
        publish(new_checkout=True, banner_text="<b>")
        request = RequestFactory().get("/")
        pin(request)
        publish(new_checkout=False)
        get_reader().current()
        template = backend.from_string(IF_NEW + ' {{ flag_value("banner_text") }}')
        assert template.render({}, request) == "new &lt;b&gt;"
        assert template.render({}) == "old Welcome to Northwind"
        source = (
            "{% if flags.new_checkout.enabled and not flags.typo.enabled %}{{ flags.banner_text.value }}{% endif %}"
        )
        assert backend.from_string(source).render({}, request) == "&lt;b&gt;"


def project_environment(**options: Any) -> jinja2.Environment:
    environment = jinja2.Environment(**options)
    environment.add_extension(FlagsmithExtension)
    return environment


def test_bytecode_that_was_kept_reads_the_flags_of_now(tmp_path: Path) -> None:
    cache = jinja2.FileSystemBytecodeCache(str(tmp_path))
    publish(new_checkout=True)
    assert environment(bytecode_cache=cache).get_template("page.html").render().endswith("new")
    assert list(tmp_path.iterdir())
    publish(new_checkout=False)
    get_reader().current()
    assert environment(bytecode_cache=cache).get_template("page.html").render().endswith("old")


def test_a_sandbox_takes_it() -> None:
    publish(new_checkout=True)
    sandbox = SandboxedEnvironment(extensions=[EXTENSION])
    assert sandbox.from_string(IF_NEW + '{{ flag_value("max_cart_items") }}').render() == "new25"


def test_one_template_renders_in_many_threads_with_what_each_sees() -> None:
    template = environment().from_string(IF_NEW + '{{ flag_value("banner_text") }}' + IF_NEW)
    pinned = []
    for number in range(8):
        publish(new_checkout=bool(number % 2), banner_text=str(number))
        pinned.append(RequestFactory().get("/"))
        pin(pinned[-1])
    with ThreadPoolExecutor(8) as threads:
        shown = list(threads.map(lambda n: {template.render(request=pinned[n]) for _ in range(40)}, range(8)))
    assert shown == [{("new{0}new" if number % 2 else "old{0}old").format(number)} for number in range(8)]


def test_an_async_environment_reads_without_blocking_its_loop(hanging: Any) -> None:
    publish(new_checkout=True)
    template = environment(enable_async=True).from_string(IF_NEW)

    async def main() -> tuple[str, bool]:
        hanging.open.clear()
        rendering = asyncio.ensure_future(template.render_async())
        while not hanging.asked:
            await asyncio.sleep(0)
        was_waiting = not rendering.done()
        hanging.open.set()
        return await rendering, was_waiting

    assert asyncio.run(main()) == ("new", True)


@pytest.mark.slow
def test_the_module_of_the_same_name_is_jinja2s_own() -> None:
    source = "import django_flagsmith_realtime.jinja2 as ours, jinja2; assert ours.Environment is jinja2.Environment"
    subprocess.run([sys.executable, "-c", source], check=True, cwd=ROOT)


@pytest.mark.slow
def test_the_package_works_where_jinja2_is_not_installed() -> None:
    imports = "import sys; sys.modules['jinja2'] = None; import django; from django.conf import settings; "
    setup = "settings.configure(INSTALLED_APPS=['django_flagsmith_realtime'], FLAGSMITH={}); django.setup(); "
    source = imports + setup + "import django_flagsmith_realtime.templatetags.flagsmith"
    root = Path(django_flagsmith_realtime.__file__).parent.parent
    subprocess.run([sys.executable, "-c", source], check=True, cwd=root)

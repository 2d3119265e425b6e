"""`flags` in every template."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest
from django.template import Context, RequestContext, Template
from django.test import RequestFactory

from django_flagsmith_realtime import Identity, get_flags
from django_flagsmith_realtime.context_processors import flags
from django_flagsmith_realtime.exceptions import UnknownFlag
from tests.support.cases import each_case
from tests.support.documents import publish


def render(source: str, request: HttpRequest | None = None) -> str:
    return Template(source).render(RequestContext(request or RequestFactory().get("/")))


def test_values_and_states_are_read_by_name() -> None:
    publish(banner_text="<b>", new_checkout=True)
    assert render("{{ flags.banner_text.value }} {{ flags.new_checkout.enabled }}") == "&lt;b&gt; True"
    assert render("{% if flags.new_checkout.enabled %}new{% endif %}") == "new"
    assert render("{% for name in flags %}{{ name }} {% endfor %}").startswith("dark_mode new_checkout ")


@each_case(
    ("condition", "expected"),
    [
        ("flags.new_checkout.enabled and flags.dark_mode.enabled", True),
        ("flags.new_checkout.enabled and flags.gift_cards.enabled", False),
        ("flags.new_checkout.enabled or flags.gift_cards.enabled", True),
        ("flags.new_checkout.enabled and not flags.gift_cards.enabled", True),
        ("flags.max_cart_items.value > 20", True),
        ("flags.banner_text.value == 'Welcome to Northwind' and flags.banner_text.enabled", True),
        ("'new_checkout' in flags and 'typo' not in flags", True),
        ("flags.typo.enabled or flags.typo.value", False),
    ],
)
def test_conditions_combine_them(condition: str, expected: bool) -> None:
    publish(new_checkout=True, gift_cards=False, dark_mode=True)
    assert render(f"{{% if {condition} %}}True{{% else %}}False{{% endif %}}") == str(expected)


def test_a_typo_is_reported_once_as_everywhere(caplog: pytest.LogCaptureFixture) -> None:
    publish()
    for _ in range(3):
        assert render("{% if flags.new_chekout.enabled and flags.dark_mode.enabled %}x{% endif %}") == ""
        assert not get_flags().is_feature_enabled("new_chekout")
    [record] = caplog.records
    assert record.getMessage().startswith("Flag 'new_chekout' is off: there is none of this name")


def test_an_unknown_flag_is_off_and_has_no_value() -> None:
    publish()
    assert render("{{ flags.typo.enabled }} {{ flags.typo.value|default:'-' }}") == "False -"


def test_a_template_that_uses_no_flag_asks_nothing(recording: list[Any]) -> None:
    assert render("nothing") == "nothing"
    assert recording == []
    publish()
    recording.clear()
    render("{{ flags.banner_text.value }}{{ flags.new_checkout.enabled }}")
    assert recording == [("get", "head"), ("get", "payload")]


def test_it_is_the_requests_own_view() -> None:
    request = RequestFactory().get("/")
    publish(banner_text="one")
    before = get_flags(request)
    assert before.get_feature_value("banner_text") == "one"
    publish(banner_text="two")
    assert flags(request)["flags"].snapshot is before.snapshot
    assert render("{{ flags.banner_text.value }}", request) == "one"


def test_strict_holds_in_templates_and_leaves_a_trace_where_djangos_conditions_swallow_what_is_raised(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "STRICT": True}
    publish()
    with pytest.raises(UnknownFlag):
        render("{{ flags.typo.enabled }}")
    with pytest.raises(UnknownFlag):
        render("{% if flags.typo.enabled %}{% endif %}")
    assert render("{% if flags.dark_mode.enabled and flags.tpyo.enabled %}on{% else %}off{% endif %}") == "off"
    assert "Flag 'tpyo' is off: there is none of this name" in caplog.text


def test_a_template_may_go_through_all_flags() -> None:
    publish()
    template = Template("{% for name, flag in flags.items %}{{ name }} {% endfor %}{{ flags.all_flags|length }}")
    shown = template.render(Context({"flags": get_flags()}))
    assert shown.split() == [*get_flags(), str(len(get_flags()))]


def test_get_returns_the_callers_default_for_an_unknown_flag() -> None:
    publish()
    assert get_flags().get("nope", "default") == "default"
    assert get_flags().get("banner_text").value == "Welcome to Northwind"


@each_case("call", [lambda: get_flags(identity="42"), lambda: get_flags(Identity("42"))])
def test_an_identity_in_the_wrong_place_is_a_clear_error(call: Any) -> None:
    with pytest.raises(TypeError, match=r"identity=Identity\("):
        call()

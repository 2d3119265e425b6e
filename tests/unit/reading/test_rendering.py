"""What a page's JavaScript gets of the flags, by Django's tag and by Jinja2's function."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.template import Context, Template, TemplateSyntaxError
from django.test import RequestFactory, override_settings

from django_flagsmith_realtime import Identity, get_flags
from django_flagsmith_realtime.environment.snapshot import parse_document
from django_flagsmith_realtime.exceptions import ServerSideOnly, UnknownFlag
from django_flagsmith_realtime.reading.rendering import client_state
from django_flagsmith_realtime.test import override_flags
from tests.support import recordings
from tests.support.cases import each_case
from tests.support.documents import configured_store, pin, publish
from tests.unit.test_jinja2 import environment

Render = Callable[..., str]

SCRIPT = re.compile(r'<script id="([^"]*)" type="application/json">([^<]*)</script>')


def by_tag(*names: str, **more: str) -> str:
    arguments = [f'"{name}"' for name in names] + [f'{key}="{value}"' for key, value in more.items()]
    return Template(f"{{% load flagsmith %}}{{% flags_json {' '.join(arguments)} %}}").render(Context())


def by_function(*names: str, **more: str) -> str:
    arguments = [f'"{name}"' for name in names] + [f'{key}="{value}"' for key, value in more.items()]
    return str(environment().from_string(f"{{{{ flags_json({', '.join(arguments)}) }}}}").render())


def flags_json(*names: str, **more: str) -> str:
    """Return what both write, which is the same."""
    page = by_tag(*names, **more)
    assert by_function(*names, **more) == page
    return page


def state_in(page: str) -> Any:
    script = SCRIPT.fullmatch(page)
    assert script, page
    return json.loads(script[2])


def publish_edited(name: str = "dark_mode", *, marked: list[int]) -> None:
    """Publish an environment whose first feature has a name, and where features are server-side only by their ids."""
    document = recordings.document()
    document["feature_states"][0]["feature"]["name"] = name
    document["project"]["server_key_only_feature_ids"] = marked
    store = configured_store()
    store.publish(parse_document(document), after=store.read_head())


def test_named_flags_and_no_others_are_in_the_page() -> None:
    publish(new_checkout=True)
    assert state_in(flags_json("new_checkout", "banner_text", "max_cart_items")) == {
        "flags": {
            "new_checkout": {"id": 2, "enabled": True, "value": None},
            "banner_text": {"id": 9, "enabled": True, "value": "Welcome to Northwind"},
            "max_cart_items": {"id": 14, "enabled": True, "value": 25},
        }
    }


@each_case(
    ("render", "error"),
    [(by_tag, TemplateSyntaxError), (by_function, TypeError)],
)
def test_names_must_be_given(render: Render, error: type[Exception]) -> None:
    with pytest.raises(error, match="name"):
        render()


def test_the_element_has_the_id_that_is_asked_for() -> None:
    publish()
    assert flags_json("dark_mode").startswith('<script id="flagsmith-state" type="application/json">')
    assert flags_json("dark_mode", id="other").startswith('<script id="other" type="application/json">')


@each_case("value", ["</script><script>alert(1)</script>", "<!--", "\u2028", "'\"&\\", "Grüße 🚀"])
def test_no_value_ends_the_element(value: str) -> None:
    publish(banner_text=value)
    page = flags_json("banner_text")
    assert page.count("<") == 2
    assert state_in(page)["flags"]["banner_text"]["value"] == value


def test_names_are_those_that_the_client_looks_up() -> None:
    publish_edited("Dark Mode", marked=[])
    assert list(state_in(flags_json("Dark Mode"))["flags"]) == ["dark_mode"]


@each_case(("render", "name"), [(by_tag, "typo"), (by_function, "tpyo")])
def test_an_unknown_flag_is_off_and_reported_as_everywhere(
    render: Render, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    assert state_in(render(name)) == {"flags": {name: {"enabled": False, "value": None}}}
    assert f"Flag '{name}' is off" in caplog.text
    with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": "ser.tests", "STRICT": True}), pytest.raises(UnknownFlag):
        render(name)


def test_defaults_stand_in_while_there_are_no_flags(settings: Any) -> None:
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "DEFAULTS": {"new_checkout": True, "banner_text": "Hi"}}
    assert state_in(flags_json("new_checkout", "banner_text"))["flags"] == {
        "new_checkout": {"enabled": True, "value": None},
        "banner_text": {"enabled": True, "value": "Hi"},
    }


def test_what_a_test_overrides_is_in_the_page() -> None:
    with override_flags(new_checkout=True, banner_text="Hi", server_only_secret="mine"):
        assert state_in(flags_json("new_checkout", "banner_text", "server_only_secret"))["flags"] == {
            "new_checkout": {"enabled": True, "value": None},
            "banner_text": {"enabled": True, "value": "Hi"},
            "server_only_secret": {"enabled": True, "value": "mine"},
        }


# Server-side only


@pytest.mark.parametrize("render", [by_tag, by_function])
def test_a_flag_for_servers_only_never_reaches_a_page(render: Render, caplog: pytest.LogCaptureFixture) -> None:
    publish(new_checkout=True)
    for _ in range(3):
        page = render("new_checkout", "server_only_secret")
        assert list(state_in(page)["flags"]) == ["new_checkout"]
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "flags_json leaves out 'server_only_secret': Flagsmith marks it as server-side only" in record.getMessage()
    assert "s3cr3t" not in caplog.text


@each_case("render", [by_tag, by_function])
@each_case("mode", ["DEBUG", "STRICT"])
def test_it_raises_in_development(render: Render, mode: str, settings: Any) -> None:
    publish()
    settings.DEBUG = mode == "DEBUG"
    settings.FLAGSMITH = {"ENVIRONMENT_KEY": "ser.tests", "STRICT": mode == "STRICT"}
    with pytest.raises(ServerSideOnly, match=r"'server_only_secret'.*server-side only.*Take its name out"):
        render("new_checkout", "server_only_secret")


def test_the_mark_follows_the_feature_as_it_is_published() -> None:
    publish_edited(marked=[1])
    assert state_in(flags_json("dark_mode", "server_only_secret"))["flags"].keys() == {"server_only_secret"}
    publish()
    pin(RequestFactory().get("/"))
    assert state_in(flags_json("dark_mode", "server_only_secret"))["flags"].keys() == {"dark_mode"}


def test_neither_the_identity_nor_its_traits_are_in_the_page() -> None:
    publish()
    flags = get_flags(identity=Identity("ann@northwind.example", {"plan": "gold"}))
    state = client_state(flags, ["banner_text"])
    assert state == {"flags": {"banner_text": {"id": 9, "enabled": True, "value": "Welcome back, gold member"}}}

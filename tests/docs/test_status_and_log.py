"""What docs/reference/status-and-log.md says, compared with the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.management.commands.flagsmith_status import EXIT_CODES
from django_flagsmith_realtime.monitoring.health import CACHE, FAILING, NO_LISTENER, NO_SNAPSHOT, STALE, check_health
from django_flagsmith_realtime.monitoring.status_text import to_text
from django_flagsmith_realtime.storage import status
from tests.docs.pages import table
from tests.support.documents import configured_store, publish
from tests.support.paths import DOCS
from tests.support.source import modules, nodes
from tests.unit.monitoring.test_health import led
from tests.unit.storage.test_status import NOW

PAGE = DOCS / "reference/status-and-log.md"


def rows(heading: str) -> list[list[str]]:
    return table(PAGE, heading)


def names(text: str) -> set[str]:
    return set(re.findall(r"`([a-z0-9_ ]+)`", text))


def test_each_exit_code_is_told() -> None:
    assert {int(code.strip("`")) for code, _ in rows("code")} == {0, 1, 2, *EXIT_CODES.values()}


def test_the_json_is_told_key_by_key() -> None:
    led(publish())
    plain: dict[str, Any] = check_health(get_config(), configured_store(), now=NOW).to_plain()
    told = {key.strip("`"): text for key, text in rows("key")}
    assert told.keys() == plain.keys()
    states = {status.CONNECTING, status.CONNECTED, status.BACKING_OFF, status.POLL_ONLY}
    for key in ("leader", "stream", "snapshot", "requests", "error"):
        extra = states if key == "stream" else set(plain["snapshot"]["latency"]) if key == "snapshot" else set()
        assert names(told[key]) - {"null"} == plain[key].keys() | extra, key
    assert names(told["troubles"]) == {CACHE, NO_SNAPSHOT, NO_LISTENER, FAILING, STALE, "settings"}


def test_each_line_of_the_status_is_told() -> None:
    [example] = re.findall(r"^```\n(Health.*?)^```$", PAGE.read_text(), re.M | re.S)
    led(publish())
    shown = to_text(check_health(get_config(), configured_store(), now=NOW))
    labels = {line[:12].strip() for line in example.splitlines()}
    assert {line[:12].strip() for line in shown.splitlines()} | {"Pages", "Standby", "Webhook"} == labels


# Logs

SAYS = {"debug", "info", "warning", "error", "exception", "begin", "end", "_warn_once", "report_refusal"}
PASSES_ON = {  # functions that are given a text
    ("listener.event_log", "message"),
    ("reading.flags", "message"),
    ("reading.rendering", "message"),
}


def logged_texts() -> Iterator[str]:
    """Yield the text of each call that logs; each is constant."""
    for module in modules():
        constants = {
            target.id: node.value.value
            for node in nodes(module)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in nodes(module):
            match call:
                case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=[text, *_]) if name in SAYS:
                    if isinstance(text, ast.Constant):
                        yield str(text.value)
                    elif isinstance(text, ast.Name) and text.id in constants:
                        yield str(constants[text.id])
                    elif "logger" in ast.unparse(call.func):
                        assert (module, ast.unparse(text)) in PASSES_ON, ast.unparse(call)


def test_each_text_of_the_log_is_constant_and_told() -> None:
    told = re.findall(r"`([^`]+)`", "".join(text for _, text, _ in rows("level \\| text")))
    beginnings = tuple(text.removesuffix("…") for text in told)
    texts = list(logged_texts())
    assert len(texts) > 25
    assert [text for text in texts if "flag" not in text.lower()] == [], "in a worker's log, no line says whose it is"
    assert [text for text in texts if not text.startswith(beginnings)] == []
    assert [text for text in beginnings if not any(known.startswith(text) for known in texts)] == []


def test_each_logger_is_told() -> None:
    told = set()
    for names_of, _ in rows("logger"):
        told |= set(re.findall(r"`([^`]+)`", names_of))
    assert told == {logger for module in modules() if (logger := logger_of(module))}


def logger_of(module: str) -> str | None:
    """Return the name of the logger that a module writes to, if it does."""
    writes, found = False, None
    for node in nodes(module):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("logger"), attr=method)):
                writes |= method in {*SAYS, "log"}
            case ast.Call(func=ast.Attribute(value=ast.Name("logging"), attr="getLogger"), args=[ast.Constant(name)]):
                found = str(name)
            case ast.Call(func=ast.Attribute(value=ast.Name("logging"), attr="getLogger")):
                found = f"django_flagsmith_realtime.{module}"
    return found if writes else None

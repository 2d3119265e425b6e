"""The code blocks of the pages: they compile, and what they name is there. Some pages are followed to the letter too."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module

import jinja2
import pytest
import yaml
from django.core.management import get_commands, load_command_class
from django.template import engines

from django_flagsmith_realtime.conf import KEYS
from django_flagsmith_realtime.jinja2 import FlagsmithExtension
from tests.docs.pages import PAGES, Block, blocks

PACKAGE = "django_flagsmith_realtime"
BLOCKS = [(page, number, block) for page in PAGES for number, block in enumerate(blocks(page), 1)]
COMMAND = re.compile(r"manage\.py (flagsmith_\w+)([^|>#\n]*)")


def of(*languages: str) -> list[object]:
    return [
        pytest.param(block, id=f"{page.name}-{number}") for page, number, block in BLOCKS if block.language in languages
    ]


@pytest.mark.parametrize("block", of("python"))
def test_python_compiles_and_its_imports_are_there(block: Block) -> None:
    tree = ast.parse(without_gaps(block.code))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            module = import_module(str(node.module))
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


def without_gaps(code: str) -> str:
    """Return code without the dots in dicts, and a function below each of several decorators that are one or another."""
    code = re.sub(r"^ +\.\.\.,\n|(?<={)\.\.\., ", "", code, flags=re.MULTILINE)
    return re.sub(r"^(@.+)\n(?=@flag_enabled)", r"\1\ndef _(): ...\n", code, flags=re.MULTILINE)


@pytest.mark.parametrize("block", of("python"))
def test_settings_have_keys_that_are_there(block: Block) -> None:
    tree = ast.parse(without_gaps(block.code))
    shown = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLAGSMITH"
    ]
    for value in shown:
        assert isinstance(value, ast.Dict)
        assert {key.value for key in value.keys if isinstance(key, ast.Constant)} <= set(KEYS)


@pytest.mark.parametrize("block", of("json"))
def test_json_is_json(block: Block) -> None:
    json.loads(block.code)


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_is_yaml(block: Block) -> None:
    yaml.safe_load(block.code)


@pytest.mark.parametrize("block", of("django"))
def test_templates_compile(block: Block) -> None:
    engines["django"].from_string("{% load flagsmith %}" + block.code)


@pytest.mark.parametrize("block", of("jinja"))
def test_jinja_templates_compile(block: Block) -> None:
    jinja2.Environment(extensions=[FlagsmithExtension]).from_string(block.code)


COMMANDS = sorted({match.groups() for page in PAGES for match in COMMAND.finditer(page.read_text())})


@pytest.mark.parametrize(("name", "rest"), COMMANDS)
def test_commands_take_the_options_that_pages_give_them(name: str, rest: str) -> None:
    assert get_commands()[name] == PACKAGE
    parser = load_command_class(PACKAGE, name).create_parser("manage.py", name)
    known = {option for action in parser._actions for option in action.option_strings}
    assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= known

"""The code blocks of the pages: they compile, and what they name is there. Some pages are followed to the letter too."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module

import jinja2
import yaml
from django.core.management import get_commands, load_command_class
from django.template import engines

from django_flagsmith_realtime.conf import KEYS
from django_flagsmith_realtime.jinja2 import FlagsmithExtension
from tests.docs.pages import PAGES, Block, blocks
from tests.support.cases import each_case

PACKAGE = "django_flagsmith_realtime"
COMMAND = re.compile(r"manage\.py (flagsmith_\w+)([^|>#\n]*)")


def of(language: str) -> list[tuple[str, Block]]:
    return [(page.name, block) for page in PAGES for block in blocks(page, language)]


@each_case(("page", "block"), of("python"))
def test_python_compiles_and_its_imports_and_settings_are_there(page: str, block: Block) -> None:
    tree = ast.parse(without_gaps(block.code))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            module = import_module(str(node.module))
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLAGSMITH":
            assert isinstance(node.value, ast.Dict)
            assert {key.value for key in node.value.keys if isinstance(key, ast.Constant)} <= set(KEYS)


def without_gaps(code: str) -> str:
    """Return code without the dots in dicts, and a function below each of several decorators that are one or another."""
    code = re.sub(r"^ +\.\.\.,\n|(?<={)\.\.\., ", "", code, flags=re.MULTILINE)
    return re.sub(r"^(@.+)\n(?=@flag_enabled)", r"\1\ndef _(): ...\n", code, flags=re.MULTILINE)


@each_case(("page", "block"), of("json"))
def test_json_is_json(page: str, block: Block) -> None:
    json.loads(block.code)


@each_case(("page", "block"), of("yaml"))
def test_yaml_is_yaml(page: str, block: Block) -> None:
    yaml.safe_load(block.code)


@each_case(("page", "block"), of("django"))
def test_templates_compile(page: str, block: Block) -> None:
    engines["django"].from_string("{% load flagsmith %}" + block.code)


@each_case(("page", "block"), of("jinja"))
def test_jinja_templates_compile(page: str, block: Block) -> None:
    jinja2.Environment(extensions=[FlagsmithExtension]).from_string(block.code)


COMMANDS = sorted({match.groups() for page in PAGES for match in COMMAND.finditer(page.read_text())})


@each_case(("name", "rest"), COMMANDS)
def test_commands_take_the_options_that_pages_give_them(name: str, rest: str) -> None:
    assert get_commands()[name] == PACKAGE
    parser = load_command_class(PACKAGE, name).create_parser("manage.py", name)
    known = {option for action in parser._actions for option in action.option_strings}
    assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= known

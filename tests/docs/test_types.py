"""What docs/howto/types.md says, checked by mypy and Pyright; and the types of all public names."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from django.dispatch import Signal

from django_flagsmith_realtime import signals
from django_flagsmith_realtime.environment.diff import Update
from django_flagsmith_realtime.exceptions import ServerError
from django_flagsmith_realtime.listener.events import BecameLeader, StreamConnected, StreamDisconnected
from django_flagsmith_realtime.listener.signal_sender import SignalSender, send_update
from tests.docs.pages import blocks, table
from tests.support.documents import publish
from tests.support.paths import DOCS, ROOT

PACKAGE = "django_flagsmith_realtime"
PAGE = DOCS / "howto/types.md"
UNREADABLE = {f"{PACKAGE}.openfeature.FlagsmithProvider"}  # Pyright's verifier can't see OpenFeature's base class
SIGNALS = {name: signal for name, signal in vars(signals).items() if isinstance(signal, Signal)}

SETTINGS = f'SECRET_KEY = "x"\nINSTALLED_APPS = ["{PACKAGE}", "django.contrib.auth", "django.contrib.contenttypes"]\n'
MYPY = f"[mypy]\nstrict = true\n\n[mypy-{PACKAGE}.*]\nfollow_imports = silent\n"  # as for an installed package
PLUGIN = "plugins = mypy_django_plugin.main\n\n[mypy.plugins.django-stubs]\ndjango_settings_module = settings\n\n"
PYRIGHT = {
    "typeCheckingMode": "strict",
    "extraPaths": [str(ROOT)],
    "reportUnnecessaryTypeIgnoreComment": "error",
    "include": ["*.py"],
}
CLAIMS = """\
from typing import Any
from django.http import HttpRequest
from django_flagsmith_realtime import Flag, Flags
from typing_extensions import assert_type


def check(flags: Flags, request: HttpRequest) -> None:
    print(request.flags)  # type: ignore[attr-defined]
    print(flags.get_feature_value("banner", "many", type=int))  # type: ignore[type-var]
    print(flags.get_feature_value("banner", type=bytes))  # type: ignore[type-var]
    print(flags.get("banner").value)  # type: ignore[union-attr]
"""


def check(*command: str | Path, at: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a type checker with what is installed beside this Python, and this copy of the package."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT}{os.pathsep}{at}", "MYPYPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=at, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose modules are the page's blocks, and one that asserts the types in its table."""
    directory = tmp_path_factory.mktemp("types")
    rows = [[cell.replace(r"\|", "|").strip("`") for cell in row] for row in table(PAGE, "call")]
    claims = CLAIMS + "".join(f"    assert_type({call}, {kind})\n" for call, kind in rows)
    examples = {f"example_{number}": block.code for number, block in enumerate(blocks(PAGE, "python"))}
    assert len(examples) > 3 < len(rows)
    for name, code in {**examples, "claims": claims, "settings": SETTINGS}.items():
        (directory / f"{name}.py").write_text(code)
    (directory / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    (directory / "mypy.ini").write_text(MYPY)
    (directory / "mypy-with-plugin.ini").write_text(MYPY.replace("\n\n", f"\n{PLUGIN}", 1))
    return directory


@pytest.mark.slow
@pytest.mark.parametrize("configuration", ["mypy.ini", "mypy-with-plugin.ini"])
def test_the_examples_pass_mypy_with_and_without_the_plugin_of_django_stubs(project: Path, configuration: str) -> None:
    result = check("mypy", "--config-file", configuration, ".", at=project)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_the_examples_pass_pyright(project: Path) -> None:
    result = check("pyright", at=project)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_pyright_knows_the_type_of_each_public_name() -> None:
    result = check("pyright", "--verifytypes", PACKAGE, "--ignoreexternal", "--outputjson")
    symbols = json.loads(result.stdout)["typeCompleteness"]["symbols"]
    unknown = {
        symbol["name"]: [diagnostic["message"] for diagnostic in symbol["diagnostics"]]
        for symbol in symbols
        if symbol["isExported"] and not symbol["isTypeKnown"]
    }
    public = set(public_names()) - UNREADABLE
    assert len(public) > 20
    assert public <= {symbol["name"] for symbol in symbols}
    assert {
        name: why for name, why in unknown.items() if any(f"{name}.".startswith(f"{each}.") for each in public)
    } == {}


def public_names() -> Iterator[str]:
    """Yield the names that docs/reference/api.md documents, each where it is defined, and the signals."""
    text = (DOCS / "reference/api.md").read_text()
    for name in re.findall(r"^\.\. auto(?:class|function):: (\w[\w.]*)", text, re.MULTILINE):
        module, _, attribute = name.rpartition(".")
        value = getattr(import_module(module or PACKAGE), attribute)
        yield f"{value.__module__}.{attribute}" if callable(value) else name
    yield from (f"{PACKAGE}.signals.{name}" for name in SIGNALS)


# Receivers


def test_receivers_get_what_their_annotations_say() -> None:
    """Send each signal, and compare its arguments with those of the receiver on the page."""
    [code] = (block.code for block in blocks(PAGE, "python") if "@receiver" in block.code)
    page = ModuleType("page")
    exec(code.replace("@receiver", "# @receiver"), page.__dict__)
    sent = dict[str, dict[str, Any]]()

    def note(*, signal: Signal, sender: object, **values: Any) -> None:
        sent[next(name for name, each in SIGNALS.items() if each is signal)] = values

    for signal in SIGNALS.values():
        signal.connect(note)
    try:
        before = publish(banner_text="old")
        send_update(Update.between(before, publish(banner_text="new"), "webhook"))
        signals.snapshot_loaded.send_robust(type(before), snapshot=before, previous=None)
        sender = SignalSender()
        for event in (BecameLeader(), StreamConnected(), StreamDisconnected(ServerError("No."), False, 1.0)):
            sender(event)
    finally:
        for signal in SIGNALS.values():
            signal.disconnect(note)
    assert sent.keys() == SIGNALS.keys()
    for name, values in sent.items():
        hints = get_type_hints(getattr(page, f"on_{name}"))
        assert hints.keys() - {"return", "kwargs"} == values.keys()
        assert [key for key, value in values.items() if not is_of(value, hints[key])] == [], name


def is_of(value: object, hint: Any) -> bool:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return any(value is None if kind is NoneType else isinstance(value, get_origin(kind) or kind) for kind in kinds)

"""Each deployment file is one to the tool that it is for, and a broken one is not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.example_project.deploy import files
from tests.support.processes import require

BIN = Path(sys.executable).parent
EXPOSURE = "15"  # of 100: what systemd calls OK ends at 30

pytestmark = pytest.mark.slow


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    path = require(str(BIN / program) if (BIN / program).exists() else program)
    return subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def complaints(program: str, *arguments: object) -> str:
    """Return what a tool has to say against a file."""
    done = run(program, *arguments)
    said = done.stdout + done.stderr
    return said or f"exit code {done.returncode}" * bool(done.returncode)


def about_compose(path: Path) -> str:
    return complaints("check-jsonschema", "--quiet", "--builtin-schema", "vendor.compose-spec", path)


def about_kubernetes(path: Path) -> str:
    return complaints("kubernetes-validate", "--strict", "--quiet", path)


def about_dockerfile(path: Path) -> str:
    return complaints("hadolint", "--failure-threshold", "style", path)


def about_unit(path: Path) -> str:
    """Ask systemd, in a root directory of its own with the programs that a unit names."""
    root = path.parent / "root"
    shutil.copytree("/lib/systemd/system", root / "lib/systemd/system", symlinks=True, ignore_dangling_symlinks=True)
    for program in ("srv/storefront/.venv/bin/python", "srv/storefront/.venv/bin/gunicorn", "bin/kill"):
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", root / program)
    unit = root / "etc/systemd/system" / path.name
    unit.parent.mkdir(parents=True)
    shutil.copy(path, unit)
    found = complaints("systemd-analyze", "verify", f"--root={root}", path.name.replace("@.", "@1."))
    exposed = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", unit)
    return found + (exposed.stdout if exposed.returncode else "")


Ask = Callable[[Path], str]
CASES: list[tuple[Path, Ask, str, str]] = [
    (files.COMPOSE, about_compose, "healthcheck:", "helthcheck:"),
    (files.COMPOSE, about_compose, "condition: service_healthy", "condition: service_helthy"),
    (files.KUBERNETES, about_kubernetes, "replicas: 2", "replicas: two"),
    (files.KUBERNETES, about_kubernetes, "livenessProbe:", "livelinessProbe:"),
    (files.KUBERNETES, about_kubernetes, "policy/v1", "policy/v2"),
    (files.DOCKERFILE, about_dockerfile, "USER 10001", "USRE 10001"),
    (files.DOCKERFILE, about_dockerfile, "WORKDIR /app", "WORKDIR app"),
    *((unit, about_unit, "Restart=always", "Restrat=always") for unit in files.UNITS),
    *((unit, about_unit, "ExecStart=/srv/", "ExecStart=/svr/") for unit in files.UNITS),
    *((unit, about_unit, "CapabilityBoundingSet=\n", "") for unit in files.UNITS),
    *(
        (unit, about_unit, "SystemCallFilter=@system-service", "SystemCallFilter=@sistem-service")
        for unit in files.UNITS
    ),
]


@pytest.mark.parametrize(
    ("path", "ask"), {(path, ask): None for path, ask, *_ in CASES}, ids=lambda value: getattr(value, "name", "")
)
def test_a_file_is_what_its_tool_expects(path: Path, ask: Ask, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    assert ask(copy) == ""


@pytest.mark.parametrize(
    ("path", "ask", "right", "wrong"), CASES, ids=lambda value: getattr(value, "name", "") or str(value)[:20]
)
def test_a_broken_file_is_found_out(path: Path, ask: Ask, right: str, wrong: str, tmp_path: Path) -> None:
    text = path.read_text()
    assert right in text
    copy = tmp_path / path.name
    copy.write_text(text.replace(right, wrong))
    assert ask(copy) != ""

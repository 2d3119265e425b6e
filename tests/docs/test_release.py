"""What is built, and what is said about it."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from django_flagsmith_realtime import __version__
from tests.support.paths import ROOT

PACKAGE = "django_flagsmith_realtime"


def tracked(*paths: str) -> set[str]:
    """Return the files that git knows."""
    return set(subprocess.check_output(["git", "ls-files", *paths], cwd=ROOT, text=True).split())


def test_the_changelog_begins_with_the_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] in (__version__, "Unreleased")


def test_the_version_is_in_one_place() -> None:
    files = [
        *sorted((ROOT / PACKAGE).rglob("*.py")),
        ROOT / "setup.cfg",
        ROOT / "pyproject.toml",
        ROOT / "docs/conf.py",
    ]
    assert [file.name for file in files if __version__ in file.read_text()] == ["__init__.py"]


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    files = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert files == tracked(PACKAGE)
    assert f"{PACKAGE}/py.typed" in files


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_the_source_distribution_holds_what_it_takes_to_test_and_to_build(built: Path) -> None:
    [archive] = built.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        files = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = tracked(
        PACKAGE, "docs", "tests", "example_project", "benchmarks", "*.md", "setup.cfg", "tox.ini", "Makefile"
    )
    assert {name for name in wanted if not name.startswith(".")} - files == set()

"""What is built, and what is said about it."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.metadata import Metadata

from django_flagsmith_realtime import __version__
from tests.docs.pages import FENCED
from tests.support.paths import ROOT

PACKAGE = "django_flagsmith_realtime"


def tracked(*paths: str) -> set[str]:
    """Return the files that git knows."""
    return set(subprocess.check_output(["git", "ls-files", *paths], cwd=ROOT, text=True).split())


def links_of(description: str) -> list[str]:
    """Return where the links and pictures of a description lead, rendered as an index does."""
    from readme_renderer import markdown  # not where tox tests

    page = markdown.render(description)
    assert page
    return re.findall(r'(?:href|src)="([^#"]+)"', page)


def test_the_changelog_begins_with_the_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] in (__version__, "Unreleased")


def test_the_version_is_in_one_place() -> None:
    files = [
        *sorted((ROOT / PACKAGE).rglob("*.py")),
        ROOT / "pyproject.toml",
        ROOT / "docs/conf.py",
    ]
    assert [file.name for file in files if __version__ in file.read_text()] == ["__init__.py"]


def test_what_git_ignores_is_named_where_hatchling_reads_it() -> None:
    assert tracked("*.gitignore") == {".gitignore"}, "others don't keep files out of the source distribution"


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
        PACKAGE, "docs", "tests", "example_project", "benchmarks", "*.md", "*.toml", "*.py", "tox.ini", "Makefile"
    )
    assert {name for name in wanted if not name.startswith(".")} - files == set()


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_the_wheel_says_what_an_index_shows(wheel: Path) -> None:
    metadata = Metadata.from_email(ZipFile(wheel).read(f"{PACKAGE}-{__version__}.dist-info/METADATA"))
    assert (metadata.license_expression, metadata.license_files) == ("BSD-3-Clause", ["LICENSE"])
    assert metadata.license is None and not [each for each in metadata.classifiers or [] if each.startswith("License")]
    assert metadata.author and metadata.keywords and metadata.summary
    assert metadata.description_content_type == "text/markdown"
    assert [link for link in links_of(metadata.description or "") if "://" not in link] == []


@pytest.mark.slow
@pytest.mark.parametrize("repository", ["", "https://code.example/flags"])
def test_links_of_the_description_are_absolute_or_their_texts(repository: str) -> None:
    from hatch_build import IndexHook  # needs hatchling, which is not where tox tests

    metadata: dict[str, Any] = {"version": "1.0"}
    IndexHook(str(ROOT), {"repository": repository}).update(metadata)
    readme, description = (ROOT / "README.md").read_text(), metadata["readme"]["text"]
    assert links_of(description) == [
        link if "://" in link else f"{repository}/{'blob' if '.md' in link else 'raw'}/1.0/{link}"
        for link in links_of(readme)
        if "://" in link or repository
    ]
    assert FENCED.findall(description) == FENCED.findall(readme)
    assert bool(metadata["urls"]) == bool(repository)

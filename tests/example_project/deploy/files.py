"""What the deployment files say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import EXAMPLE_PROJECT

DEPLOY = EXAMPLE_PROJECT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".md")
COMPOSE, KUBERNETES, DOCKERFILE = DEPLOY / "compose.yaml", DEPLOY / "kubernetes.yaml", DEPLOY / "Dockerfile"
UNITS = sorted((DEPLOY / "systemd").iterdir())
PROCFILES = sorted(DEPLOY.glob("Procfile*"))


@cache
def documents(path: Path) -> list[Any]:
    """Return what is in a file of YAML."""
    return list(yaml.safe_load_all(path.read_text()))


def strings(value: Any) -> Iterator[str]:
    """Return each command line: a list of strings in YAML is one."""
    if isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        if value and all(isinstance(item, str) for item in value):
            yield " ".join(value)
        for item in value:
            yield from strings(item)


def lines(path: Path) -> list[str]:
    """Return the command lines, and whatever may be one, of a file."""
    if path.suffix == ".yaml":
        return list(strings(documents(path)))
    return path.read_text().splitlines()


def management_commands() -> set[str]:
    """Return what follows `manage.py` in all files."""
    found = (re.search(r"manage\.py (\S.*)", line) for path in FILES for line in lines(path))
    return {match[1] for match in found if match}


def variables(path: Path) -> set[str]:
    """Return the variables that a file gives the processes."""
    text = path.read_text()
    if path == COMPOSE:
        return set(documents(path)[0]["x-storefront"]["environment"])
    if path == KUBERNETES:
        config = documents(path)[0]
        return {*config["data"], *re.findall(r"--from-literal=(\w+)", text)}
    return set(re.findall(r"^(\w+)=", text, re.MULTILINE))


def read_variables() -> set[str]:
    """Return the variables that the settings read."""
    settings = (EXAMPLE_PROJECT / "storefront" / "settings.py").read_text()
    return set(re.findall(r'environ\.get\("(\w+)"', settings))


def deployment(name: str) -> Any:
    """Return a Deployment of Kubernetes."""
    return next(
        item for item in documents(KUBERNETES) if (item["kind"], item["metadata"]["name"]) == ("Deployment", name)
    )

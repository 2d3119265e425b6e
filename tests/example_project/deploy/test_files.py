"""The deployment files fit the project, and one another."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from django.core.management import get_commands, load_command_class

from tests.example_project.deploy import files
from tests.support.cases import each_case
from tests.support.paths import ROOT

NEEDED = {"SECRET_KEY", "ALLOWED_HOSTS", "REDIS_URL"} | {
    f"FLAGSMITH_{name}" for name in ("ENVIRONMENT_KEY", "API_URL", "REALTIME_URL")
}


def test_each_management_command_is_one_that_takes_its_arguments() -> None:
    commands = files.management_commands()
    assert {command.split()[0] for command in commands} == {"flagsmith_listen", "flagsmith_status"}
    for command in commands:
        name, *arguments = shlex.split(command)
        load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(arguments)


@each_case("path", [files.COMPOSE, files.KUBERNETES, files.DEPLOY / "storefront.env.example"])
def test_a_file_gives_what_the_settings_read(path: Path) -> None:
    assert files.variables(path) >= NEEDED
    assert files.variables(path) <= files.read_variables()


@each_case("path", files.FILES)
def test_no_file_has_a_secret_in_it(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\bser\.\w", text)
    assert not re.search(r"^\s*(SECRET_KEY|FLAGSMITH_ENVIRONMENT_KEY)[=:] *(?!\$\{\w+:\?)\S", text, re.MULTILINE)


def test_the_image_is_made_of_what_is_there_and_let_in() -> None:
    ignored = (files.DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    copied = [
        source
        for line in files.DOCKERFILE.read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert copied
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert [source for source in copied if Path(source).parts[0] not in allowed] == []


def test_compose_and_kubernetes_run_as_many_listeners() -> None:
    compose = files.documents(files.COMPOSE)[0]["services"]["listener"]["deploy"]["replicas"]
    assert compose == files.deployment("storefront-listener")["spec"]["replicas"] == 2


def test_probes_ask_for_a_host_that_is_allowed_and_an_address_that_is_there() -> None:
    from django.urls import resolve

    config = files.documents(files.KUBERNETES)[0]
    [container] = files.deployment("storefront-web")["spec"]["template"]["spec"]["containers"]
    probes = [container[name]["httpGet"] for name in ("startupProbe", "readinessProbe")]
    for probe in probes:
        assert resolve(probe["path"], urlconf="storefront.urls")
        assert probe["httpHeaders"] == [{"name": "Host", "value": config["data"]["ALLOWED_HOSTS"]}]

"""A site with Django's admin that runs: a stand-in for Flagsmith, Redis, a listener and gunicorn."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from standin.server import StandIn

from tests.support.paths import ROOT
from tests.support.processes import Command, RedisServer, ServerProcess, project_environment

NAME, PASSWORD = "ann", "only for tests"
PAGE = "/admin/django_flagsmith_realtime/flags/"


class AdminServer(ServerProcess):
    """gunicorn with one process, which serves its static files too."""

    program = sys.executable

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__()
        self._environment = environment

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        arguments = (
            "tests.support.admin_project.wsgi:application",
            "--threads=4",
            f"--bind=127.0.0.1:{self.port}",
            f"--chdir={ROOT}",
        )
        return [self.path, "-m", "gunicorn", *arguments]

    def environment(self) -> dict[str, str]:
        return self._environment

    def answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/admin/login/", timeout=5) as response:
                return bool(response.status == 200)
        except HTTPError:
            return True
        except OSError:
            return False

    def end(self) -> None:
        self.terminate()
        super().end()


class AdminProject:
    """All of it; `document` is what the stand-in has, by default the recorded one."""

    def __init__(self, stack: ExitStack, document: Any = None, **setting: Any) -> None:
        self._stack = stack
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        state = self.directory / "flags.json"
        if document:
            state.write_text(json.dumps(document))
        self.standin = stack.enter_context(StandIn(state_path=state))
        self.redis = RedisServer()
        stack.callback(self.redis.end)
        self.redis.start()
        self.setting = {**self.standin.setting, **setting}
        self.environment = {
            **project_environment(self.setting, self.redis.cache()),
            "DJANGO_SETTINGS_MODULE": "tests.support.admin_project.settings",
            "TEST_DATABASE": str(self.directory / "database.sqlite3"),
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        }
        self.manage("migrate", "--verbosity=0")
        self.manage("createsuperuser", "--noinput", f"--username={NAME}", "--email=ann@example.com", "--verbosity=0")
        self.server = AdminServer(self.environment)
        stack.callback(self.server.end)
        self.server.start()

    def manage(self, *arguments: str) -> None:
        """Run a command of the project."""
        subprocess.run([sys.executable, "-m", "django", *arguments], env=self.environment, cwd=ROOT, check=True)

    def listen(self) -> Command:
        """Start a listener, and wait until it has published."""
        command = Command(setting=self.setting, cache=self.redis.cache(), log=self.directory / "log")
        self._stack.callback(command.process.wait)
        self._stack.callback(command.process.kill)
        command.wait_for("Flagsmith stream: connected")
        return command

    def log_in(self, browser: WebDriver, page: str = PAGE) -> None:
        """Go to a page through the login form."""
        browser.get(f"{self.server.url}{page}")
        browser.find_element(By.NAME, "username").send_keys(NAME)
        browser.find_element(By.NAME, "password").send_keys(PASSWORD)
        browser.find_element(By.CSS_SELECTOR, "#login-form [type=submit]").click()


@contextmanager
def running_admin(document: Any = None, **setting: Any) -> Iterator[AdminProject]:
    """Run a project while the block does."""
    with ExitStack() as stack:
        yield AdminProject(stack, document, **setting)

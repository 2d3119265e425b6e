"""Show `flagsmith_status` in a terminal, in seven states: `python -m tests.tools.status_screenshots DIRECTORY`.

Each state is a real one. The terminal is tmux, whose cells become HTML and, by Chromium, a picture.
"""

from __future__ import annotations

import html
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from standin.deliveries import Webhook

from tests.support.paths import ROOT
from tests.support.processes import Command, project_environment, require, wait_until
from tests.support.web_servers import GUNICORN, WebServer
from tests.tools.probes import Deployment

WIDTH, HEIGHT = 96, 18  # cells
SECRET = "a-secret-of-the-webhook"
ADDED = ("DJANGO_SETTINGS_MODULE", "TEST_CACHES", "TEST_FLAGSMITH")
CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1.5",
]
STYLE = """
body { margin: 0; padding: 16px; background: #fff; font: 14px/1.35 "DejaVu Sans Mono", monospace; width: 860px }
h2 { font: 600 14px "DejaVu Sans", sans-serif; margin: 14px 0 6px; color: #333 }
pre { margin: 0; padding: 12px 14px; background: #16181d; color: #d7dae0; border-radius: 6px; font: inherit }
.b { font-weight: 700 } .c31 { color: #ff6b68 } .c32 { color: #5ecf73 } .c33 { color: #f0c348 }
"""


class Terminal:
    """A tmux of its own that runs `flagsmith_status`; what it shows is kept with its colors."""

    def __init__(self, deployment: Deployment) -> None:
        environment = project_environment(deployment.setting, deployment.redis.cache())
        self._name = f"flagsmith-{time.monotonic_ns()}"
        command = shlex.join([sys.executable, "-m", "django", "flagsmith_status"])
        script = f"cd {ROOT}; echo '$ python manage.py flagsmith_status'; {command}; sleep 60"
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT),
            *(part for name in ADDED for part in ("-e", f"{name}={environment[name]}")), "sh", "-c", script,
        )  # fmt: skip

    def wait_for(self, text: str) -> str:
        wait_until(lambda: text in self.shown(), f"{text!r} in the terminal", timeout=15)
        return self.shown()

    def shown(self) -> str:
        return self._tmux("capture-pane", "-e", "-p")

    def close(self) -> None:
        self._tmux("kill-server")

    def _tmux(self, *arguments: str) -> str:
        return subprocess.run(
            [require("tmux"), "-L", self._name, *arguments], capture_output=True, text=True, check=True
        ).stdout


def healthy(deployment: Deployment) -> None:
    for text in ("Sale", "Sale ends today"):
        deployment.standin.set_flag("banner_text", value=text)
        time.sleep(1)


def standby(deployment: Deployment) -> None:
    deployment.listen("Flagsmith listener stands by")


def backing_off(deployment: Deployment) -> None:
    deployment.enter(deployment.stream.refusing())
    deployment.stream.reset()


def webhook(deployment: Deployment) -> None:
    stop_listening(deployment)
    deployment.setting |= {"REALTIME_URL": None, "WEBHOOK_SECRET": SECRET}
    deployment.listen("Flagsmith listener polls")
    server = deployment.enter(WebServer(deployment.redis.cache(), *GUNICORN, **deployment.setting))
    url = f"http://127.0.0.1:{server.port}/flagsmith/webhook/"
    deployment.standin.deliveries.append(Webhook(url, SECRET))
    for text in ("Sale", "Sale ends today"):
        deployment.standin.set_flag("banner_text", value=text)
        time.sleep(1)


def failing(deployment: Deployment) -> None:
    stop_listening(deployment)
    deployment.setting |= {"REALTIME_URL": None, "FALLBACK_POLL_INTERVAL": 1}
    deployment.listen("Flagsmith listener polls")
    deployment.enter(deployment.api.refusing())


def on_schedule(deployment: Deployment) -> None:
    stop_listening(deployment)
    for _ in range(2):
        time.sleep(1)
        command = Command(
            "--once", setting=deployment.setting, cache=deployment.redis.cache(), log=deployment.directory / "once"
        )
        assert command.exit_code() == 0, command.said()


def stop_listening(deployment: Deployment) -> None:
    deployment.listener.process.terminate()
    deployment.listener.process.wait(10)


def nobody(deployment: Deployment) -> None:
    deployment.listener.process.kill()


STATES: list[tuple[str, Callable[[Deployment], None], str]] = [  # and what the terminal shows then
    ("healthy", healthy, "median"),
    ("standby", standby, "Standby"),
    ("backing off", backing_off, "backing off"),
    ("polls and a webhook", webhook, "by webhook"),
    ("Flagsmith does not answer", failing, "failing"),
    ("fetches on a schedule, without a listener", on_schedule, "last fetched by"),
    ("nobody listening", nobody, "Nobody is listening"),
]


def show(inflict: Callable[[Deployment], None], text: str) -> str:
    with ExitStack() as stack:
        deployment = Deployment(stack, LEASE_SECONDS=8)
        wait_until(lambda: deployment.status().get("requests"), "a status")
        inflict(deployment)
        deadline = time.monotonic() + 20
        while True:
            terminal = Terminal(deployment)
            try:
                shown = terminal.wait_for("Requests")
                if text in shown:
                    return shown
            finally:
                terminal.close()
            assert time.monotonic() < deadline, shown


def to_html(shown: str) -> str:
    """Return what a terminal shows, with the colors and the weight that Django's styles use."""
    parts, classes = [], set[str]()
    for text, codes in re.findall(r"([^\x1b]*)(?:\x1b\[([\d;]*)m)?", shown.rstrip("\n")):
        if text:
            names = " ".join(sorted(classes))
            parts.append(f'<span class="{names}">{html.escape(text)}</span>' if names else html.escape(text))
        for code in filter(None, codes.split(";")) if codes else ():
            if code == "0":
                classes.clear()
            elif code == "1":
                classes.add("b")
            elif code == "39":
                classes -= {"c31", "c32", "c33"}
            else:
                classes.add(f"c{code}")
    return "".join(parts)


def photograph(page: str, picture: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "page.html"
        source.write_text(page)
        height = 60 + sum(64 + 19 * (block.count("\n") + 1) for block in re.findall(r"<pre>(.*?)</pre>", page, re.S))
        subprocess.run(
            [require("chromium"), *CHROMIUM, f"--user-data-dir={directory}/profile", f"--window-size=892,{height}",
             f"--screenshot={picture}", source.as_uri()],
            check=True, capture_output=True,
        )  # fmt: skip


def main(directory: Path) -> None:
    blocks = [f"<h2>{state}</h2><pre>{to_html(show(inflict, text))}</pre>" for state, inflict, text in STATES]
    photograph(f"<meta charset=utf-8><style>{STYLE}</style>{''.join(blocks)}", directory / "status.png")
    print(directory / "status.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

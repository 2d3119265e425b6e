"""`manage.py demo`: the shop, the listener and the stand-in, in one terminal."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from demo.log import Log
from demo.plan import SOURCES, Plan, PortInUse, check_ports
from demo.supervisor import ChildFailed, Supervisor, on_stop_signal
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

UP = """
  The shop           {plan.site_url}
  Its flags          {plan.standin_url}
  Announced by       {plan.way}

  Open both side by side and switch something. Ctrl-C stops everything.
"""


class Command(BaseCommand):
    """Run the demo in the foreground."""

    help = (
        "Run the shop with two worker processes, the listener, and a stand-in for Flagsmith with a page that changes "
        "the flags, all on this machine and in one log. Needs no account, no Redis and no network. The flags and the "
        "cache are kept in .demo/; remove the folder to start afresh."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--port", type=_port, default=8000, help="the shop's port (default: 8000)")
        parser.add_argument("--standin-port", type=_port, default=8001, help="the flags' port (default: 8001)")
        parser.add_argument("--workers", type=_count, default=2, help="processes that serve the shop (default: 2)")
        parser.add_argument(
            "--source",
            choices=SOURCES,
            default="stream",
            help="how the stand-in announces changes: by its stream (default), by a webhook, by queue-change, as a "
            "self-hosted API does, or not at all, so that the listener polls",
        )

    def handle(self, *args: Any, port: int, standin_port: int, workers: int, source: str, **options: Any) -> None:
        """Run until Ctrl-C."""
        document = settings.BASE_DIR / "shop" / "environment.json"
        plan = Plan(port, standin_port, workers, settings.STATE_DIR / "flags.json", document, source)
        try:
            check_ports({"--port": port, "--standin-port": standin_port})
            create_cache_table()
            self._run(plan, settings.BASE_DIR)
        except (PortInUse, ChildFailed) as error:
            raise CommandError(str(error)) from None

    def _run(self, plan: Plan, folder: Path) -> None:
        log = Log(self.stdout._out)
        supervisor = Supervisor(log, plan.environment(), folder)
        with on_stop_signal(supervisor.stop):
            supervisor.run(plan.children(), on_up=lambda: log.say(UP.format(plan=plan)))
        log.say("Stopped.")


def create_cache_table() -> None:
    """Create the table of the database cache, unless it is there or another cache is in use."""
    call_command("createcachetable", verbosity=0)
    connections.close_all()


def _port(text: str) -> int:
    if text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise ArgumentTypeError(f"{text!r} is not a port: 1 to 65535")


def _count(text: str) -> int:
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise ArgumentTypeError(f"{text!r} is not a number of processes: at least 1")

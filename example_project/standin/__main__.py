"""Run the stand-in: `python -m standin --port 8001 --state flags.json`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path
from typing import NoReturn

from .deliveries import QueueChange, Webhook
from .server import StandIn
from .state import RECORDED_DOCUMENT


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    options = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    standin = _bind(options)
    if options.webhook:
        standin.deliveries.append(Webhook(*options.webhook))
    if options.queue_change:
        standin.deliveries.append(QueueChange(*options.queue_change))
    signal.signal(signal.SIGTERM, _stop)
    print(f"{standin.url}/ serves the environment key {standin.server_key}", flush=True)
    try:
        standin.serve_forever()
    except KeyboardInterrupt:
        standin.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="standin", description="A stand-in for Flagsmith, on this machine.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8001, help="the port to listen on (%(default)s)")
    parser.add_argument("--state", type=Path, required=True, help="the JSON file that keeps the flags")
    parser.add_argument(
        "--document", type=Path, default=RECORDED_DOCUMENT, help="the environment document that the flags start as"
    )
    parser.add_argument("--webhook", nargs=2, metavar=("URL", "SECRET"), help="post each change there, signed")
    parser.add_argument(
        "--queue-change", nargs=2, metavar=("URL", "TOKEN"), help="post each change to the stream service there"
    )
    return parser


def _bind(options: argparse.Namespace) -> StandIn:
    try:
        return StandIn(state_path=options.state, document_path=options.document, host=options.host, port=options.port)
    except FileNotFoundError as error:
        sys.exit(f"standin: cannot read --document {options.document}: {error.strerror}")
    except OSError as error:
        sys.exit(f"standin: cannot listen on --port {options.port}: {error.strerror}")


def _stop(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()

"""A Flagsmith in a process of its own whose document is another with each request: `python -m benchmarks.flagsmith SIZE`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

from .documents import SIZES, Size, make_body


@contextmanager
def flagsmith(size: Size) -> Iterator[str]:
    """Yield the URL of an API with a document of a size."""
    command = [sys.executable, "-m", "benchmarks.flagsmith", size.name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
    try:
        assert process.stdout
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/api/v1/"
    finally:
        process.kill()
        process.wait()


def serve(size: Size) -> None:
    revisions = count(1)  # an older document would not be believed

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = make_body(size, next(revisions))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    serve(next(size for size in SIZES if size.name == sys.argv[1]))

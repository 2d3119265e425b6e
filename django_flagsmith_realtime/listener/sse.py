"""Cut a byte stream into whole server-sent events.

Pure: bytes in, values out. `sseclient` decodes the fields right if it is given one whole event at a time. Line ends,
bounds, the byte order mark and broken UTF-8 are handled here.
https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

from collections.abc import Iterator

from sseclient import Event, SSEClient

from ..exceptions import UnexpectedAnswer

# Flagsmith's events have 3 lines and 90 bytes. sseclient's time grows with the square of an event's size: 11 s for
# 5 MB, 10 ms for this much.
MAX_EVENT_BYTES = 64 * 1024
MAX_EVENT_LINES = 64
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventFramer:
    """Collects bytes in pieces of any size and yields whole events."""

    def __init__(self) -> None:
        self.lines = 0  # complete ones so far: a sign of life
        self._line = bytearray()  # that has not ended
        self._was_cr = False  # the last byte, so that a line feed ends no other line
        self._event: list[bytes] = []  # its lines
        self._event_bytes = 0

    def feed(self, data: bytes) -> Iterator[Event | None]:
        """Yield the events that the next bytes complete, and None for each comment and each event without data.

        Each event is decoded when it is asked for: a caller that ends a flood decodes no more of it. Raise
        `UnexpectedAnswer` for an event, or a line, over the bounds: it may have no end.
        """
        if self._was_cr and data:
            data = data.removeprefix(b"\n")
            self._was_cr = False
        self._was_cr = self._was_cr or data.endswith(b"\r")
        *ended, rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for piece in ended:
            self._extend_line(piece)
            line = bytes(self._line)
            self._line.clear()
            if self.lines == 0:
                line = line.removeprefix(BYTE_ORDER_MARK)
            self.lines += 1
            if line.startswith(b":"):
                yield None
            elif line:
                self._event.append(line)
                self._event_bytes += len(line)
            else:
                event, self._event, self._event_bytes = self._event, [], 0
                yield _decode(event) if event else None
        self._extend_line(rest)

    def _extend_line(self, piece: bytes) -> None:
        if self._event_bytes + len(self._line) + len(piece) > MAX_EVENT_BYTES or len(self._event) > MAX_EVENT_LINES:
            raise UnexpectedAnswer(
                f"The stream sent an event of more than {MAX_EVENT_BYTES // 1024} KiB, or of more than "
                f"{MAX_EVENT_LINES} lines: check FLAGSMITH['REALTIME_URL']."
            )
        self._line += piece


def _decode(lines: list[bytes]) -> Event | None:
    """Read the fields of one event; None where it carries no data."""
    block = b"\n".join(lines) + b"\n\n"
    valid_utf8 = block.decode(errors="replace").encode()
    return next(SSEClient(iter([valid_utf8])).events(), None)

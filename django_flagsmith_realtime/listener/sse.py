"""Cut a byte stream into whole server-sent events.

Pure: bytes in, values out. The decoder behind it (`sseclient`) is right about the fields of one event,
given whole; line ends, bounds, the byte order mark and broken UTF-8 are settled here.
https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

from collections.abc import Iterator

from sseclient import Event, SSEClient

MAX_EVENT_BYTES = 64 * 1024
MAX_EVENT_LINES = 64
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventFramer:
    """Collects bytes in any pieces and hands out whole events.

    An event over the bounds is dropped, and costs no memory while it lasts; so does an endless line.
    """

    def __init__(self) -> None:
        self.lines = 0  # complete ones so far: a sign of life
        self._line = bytearray()
        self._line_too_long = False
        self._after_cr = False
        self._event: list[bytes] = []
        self._event_bytes = 0
        self._event_too_large = False

    def feed(self, data: bytes) -> Iterator[Event | None]:
        """Take the next bytes and yield the events that they complete, and None for what completes no event.

        Nothing is decoded before it is asked for, so that whoever had enough pays for no more.
        """
        for line in self._complete_lines(data):
            if line is None:
                self._event_too_large = True
            elif line.startswith(b":"):
                yield None
            elif line:
                self._add(line)
            else:
                yield self._finish()

    def _complete_lines(self, data: bytes) -> Iterator[bytes | None]:
        """Yield the lines that end here; None stands for one that was too long."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        self._after_cr = self._after_cr or data.endswith(b"\r")
        *ended, rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for piece in ended:
            yield self._end_line(piece)
        self._extend_line(rest)

    def _extend_line(self, piece: bytes) -> None:
        if len(self._line) + len(piece) > MAX_EVENT_BYTES:
            self._line_too_long = True
        if self._line_too_long:
            self._line.clear()
        else:
            self._line += piece

    def _end_line(self, piece: bytes) -> bytes | None:
        self._extend_line(piece)
        line = None if self._line_too_long else bytes(self._line)
        if line and self.lines == 0:
            line = line.removeprefix(BYTE_ORDER_MARK)
        self._line.clear()
        self._line_too_long = False
        self.lines += 1
        return line

    def _add(self, line: bytes) -> None:
        self._event_bytes += len(line)
        if self._event_bytes > MAX_EVENT_BYTES or len(self._event) == MAX_EVENT_LINES:
            self._event_too_large = True
            self._event.clear()
        if not self._event_too_large:
            self._event.append(line)

    def _finish(self) -> Event | None:
        lines, too_large = self._event, self._event_too_large
        self._event, self._event_bytes, self._event_too_large = [], 0, False
        return None if too_large or not lines else decode_event(lines)


def decode_event(lines: list[bytes]) -> Event | None:
    """Read the fields of one event; None where it carries no data."""
    block = b"\n".join(lines) + b"\n\n"
    repaired = block.decode(errors="replace").encode()
    return next(SSEClient(iter([repaired])).events(), None)

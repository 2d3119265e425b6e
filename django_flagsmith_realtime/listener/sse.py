"""Cut a byte stream into whole server-sent events.

Pure: bytes in, values out. `sseclient` decodes the fields right if it is given one whole event at a time. Line ends,
bounds, the byte order mark and broken UTF-8 are handled here.
https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

from collections.abc import Iterator

from sseclient import Event, SSEClient

# Flagsmith's events have 3 lines and 90 bytes. sseclient's time grows with the square of an event's size: 11 s for
# 5 MB, 10 ms for this much.
MAX_EVENT_BYTES = 64 * 1024
MAX_EVENT_LINES = 64
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventFramer:
    """Collects bytes in pieces of any size and yields whole events.

    An event over the bounds is dropped, and takes no memory while it lasts; neither does a line without end.
    """

    def __init__(self) -> None:
        self.lines = 0  # complete ones so far: a sign of life
        self._line = bytearray()
        self._is_line_too_long = False
        self._was_cr = False  # the last byte, so that a line feed ends no other line
        self._event: list[bytes] = []  # its lines
        self._event_bytes = 0
        self._is_event_too_large = False

    def feed(self, data: bytes) -> Iterator[Event | None]:
        """Yield the events that the next bytes complete, and None for each comment and each event without data.

        Each event is decoded when it is asked for: a caller that ends a flood decodes no more of it.
        """
        for line in self._complete_lines(data):
            if line is None:
                self._is_event_too_large = True
            elif line.startswith(b":"):
                yield None
            elif line:
                self._event_bytes += len(line)
                if self._event_bytes > MAX_EVENT_BYTES or len(self._event) == MAX_EVENT_LINES:
                    self._is_event_too_large = True
                    self._event.clear()
                if not self._is_event_too_large:
                    self._event.append(line)
            else:
                lines, is_too_large = self._event, self._is_event_too_large
                self._event, self._event_bytes, self._is_event_too_large = [], 0, False
                yield None if is_too_large or not lines else _decode(lines)

    def _complete_lines(self, data: bytes) -> Iterator[bytes | None]:
        """Yield the lines that end here; None stands for one that was too long."""
        if self._was_cr and data:
            data = data.removeprefix(b"\n")
            self._was_cr = False
        self._was_cr = self._was_cr or data.endswith(b"\r")
        *ended, rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for piece in ended:
            yield self._end_line(piece)
        self._extend_line(rest)

    def _extend_line(self, piece: bytes) -> None:
        if len(self._line) + len(piece) > MAX_EVENT_BYTES:
            self._is_line_too_long = True
        if self._is_line_too_long:
            self._line.clear()
        else:
            self._line += piece

    def _end_line(self, piece: bytes) -> bytes | None:
        self._extend_line(piece)
        line = None if self._is_line_too_long else bytes(self._line)
        if line and self.lines == 0:
            line = line.removeprefix(BYTE_ORDER_MARK)
        self._line.clear()
        self._is_line_too_long = False
        self.lines += 1
        return line


def _decode(lines: list[bytes]) -> Event | None:
    """Read the fields of one event; None where it carries no data."""
    block = b"\n".join(lines) + b"\n\n"
    valid_utf8 = block.decode(errors="replace").encode()
    return next(SSEClient(iter([valid_utf8])).events(), None)

"""How this package's commands write to the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.management.base import OutputWrapper


class Output(OutputWrapper):
    """Writes letters that the terminal's encoding lacks as escapes, instead of raising UnicodeEncodeError."""

    def __init__(self, out: Any) -> None:
        super().__init__(out)

    def write(  # type: ignore[override]  # the stubs differ from Django
        self, msg: str = "", style_func: Callable[[str], str] | None = None, ending: str | None = None
    ) -> None:
        encoding = getattr(self, "encoding", None) or "utf-8"
        super().write(msg.encode(encoding, "backslashreplace").decode(encoding), style_func, ending)

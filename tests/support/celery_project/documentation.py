"""The lines of docs/howto/celery.md, which this project follows to the letter."""

from __future__ import annotations

import re

from tests.support.paths import DOCS

PAGE = DOCS / "howto/celery.md"


def documented(file: str) -> str:
    """Return what the page says to write into a file."""
    [lines] = re.findall(
        rf"^```python\n# {re.escape(file)}[^\n]*\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    return str(lines)

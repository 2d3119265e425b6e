"""Feature flags from Flagsmith, shared by all processes of a Django deployment in real time."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flagsmith.models import Flag

    from .api import FlagsmithHttpRequest, aget_flags, get_flags
    from .environment.diff import FlagChange
    from .environment.snapshot import Snapshot
    from .identity import Identity
    from .reading.flags import Flags
    from .reading.scope import flags_scope

__version__ = "1.0.0"
__all__ = [
    "Flag",
    "FlagChange",
    "Flags",
    "FlagsmithHttpRequest",
    "Identity",
    "Snapshot",
    "aget_flags",
    "flags_scope",
    "get_flags",
]

_MODULES = {
    "Flag": "reading.flags",
    "FlagChange": "environment.diff",
    "Flags": "reading.flags",
    "FlagsmithHttpRequest": "api",
    "Identity": "identity",
    "Snapshot": "environment.snapshot",
    "aget_flags": "api",
    "flags_scope": "reading.scope",
    "get_flags": "api",
}


def __getattr__(name: str) -> Any:  # on demand: pytest imports our plugin, and should not import Django for it
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

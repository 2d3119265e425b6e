"""Feature flags from Flagsmith, shared by all processes of a Django deployment in real time."""

from .api import Flags, Identity, aget_flags, get_flags

__version__ = "0.1.0"
__all__ = ["Flags", "Identity", "aget_flags", "get_flags"]

"""Feature flags from Flagsmith, shared by all processes of a Django deployment in real time."""

from .api import Flags, aget_flags, get_flags
from .identity import Identity
from .scope import flags_scope

__version__ = "0.1.0"
__all__ = ["Flags", "Identity", "aget_flags", "flags_scope", "get_flags"]

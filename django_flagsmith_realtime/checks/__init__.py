"""The system checks, by what they look at; `docs/checks.md` lists them."""

from . import admin, caches, middleware, network, setting, snapshot_file
from .setting import find_command_problems, find_inline_problems

__all__ = [
    "admin",
    "caches",
    "find_command_problems",
    "find_inline_problems",
    "middleware",
    "network",
    "setting",
    "snapshot_file",
]

"""The system checks, by what they look at; `docs/checks.md` lists them."""

from . import admin, caches, middleware, network, setting, snapshot_file

__all__ = ["admin", "caches", "middleware", "network", "setting", "snapshot_file"]

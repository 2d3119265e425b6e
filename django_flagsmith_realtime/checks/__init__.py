"""The system checks, one module for each thing that they check; `docs/checks.md` lists them all."""

from . import admin, caches, environment, middleware, network, setting, snapshot_file

__all__ = ["admin", "caches", "environment", "middleware", "network", "setting", "snapshot_file"]

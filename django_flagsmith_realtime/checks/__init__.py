"""The system checks, one module for each thing that they check; `docs/reference/checks.md` lists them all."""

from . import caches, middleware, setting, sources

__all__ = ["caches", "middleware", "setting", "sources"]

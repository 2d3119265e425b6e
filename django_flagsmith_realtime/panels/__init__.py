"""The panel for django-debug-toolbar: `"django_flagsmith_realtime.panels.FlagsmithPanel"`."""

from .panel import FlagsmithPanel

__all__ = ["FlagsmithPanel"]

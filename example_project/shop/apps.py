"""The Django app."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Connects the receivers of flag changes."""

    name = "shop"

    def ready(self) -> None:
        from . import receivers  # noqa: F401 - connects them

"""The page in Django's admin that shows the flags; it changes nothing."""

from django.contrib import admin

from .model_admin import register

__all__ = ["register"]

register(admin.site)

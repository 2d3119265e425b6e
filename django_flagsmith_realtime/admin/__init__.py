"""The page of flags in Django's admin: to look, not to change."""

from django.contrib import admin

from .entry import register

__all__ = ["register"]

register(admin.site)

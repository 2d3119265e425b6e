"""The page's entry in an admin site, its URLs, and who may see it."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from ..conf import get_config
from .page import page_context, status_context

APP = "django_flagsmith_realtime"


class Flags(models.Model):
    """The entry in the admin's index, which lists models only: this one has no table, no rows and no permissions.

    It is not in a `models.py`, with which Django would give it a content type, and `dumpdata` would read its table.
    """

    class Meta:
        app_label = APP
        managed = False
        default_permissions = ()
        verbose_name = verbose_name_plural = _("feature flags")


class FlagsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows the flags to superusers, and to staff with the permission in `ADMIN_PERMISSION`."""

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        user = cast(Any, request).user
        try:
            permission = get_config().admin_permission
        except ImproperlyConfigured:  # the page shows this error to superusers
            permission = None
        return bool(user.has_perm(permission) if permission else user.is_active and user.is_superuser)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission

    def get_urls(self) -> list[URLPattern]:
        return [
            path("", self.admin_site.admin_view(self.page), name=f"{APP}_flags_changelist"),
            path("status/", self.admin_site.admin_view(self.status), name=f"{APP}_flags_status"),
        ]

    # The identity comes in a POST's body: a URL would be kept in logs and in the history, and sent as a Referer.
    @method_decorator(sensitive_post_parameters())
    @method_decorator(never_cache)
    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def page(self, request: HttpRequest) -> HttpResponse:
        """Show the status, the flags, the last changes, and the flags of the identity in the form."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": _("Feature flags")}
        try:
            context |= page_context(request)
        except ImproperlyConfigured as error:
            context["problem"] = str(error)
        return TemplateResponse(request, f"{APP}/admin/flags.html", context)

    @method_decorator(never_cache)
    @method_decorator(require_safe)
    def status(self, request: HttpRequest) -> HttpResponse:
        """Return the status and the published version as JSON, for the page's script."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            return JsonResponse(status_context())
        except ImproperlyConfigured as error:
            return JsonResponse({"problem": str(error)}, status=503)


def register(site: admin.AdminSite) -> None:
    """Put the page on an admin site."""
    site.register(Flags, FlagsAdmin)

"""The page's place in an admin site: its entry in the index, its addresses, and who may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db.models.options import Options
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from ..conf import get_config
from .page import look, tell_status

APP = "django_flagsmith_realtime"

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class FlagsEntry:
    """A name in the index, which lists only what has a model's: a real one would bring a migration and permissions."""

    _meta: Options[Any] = Options(meta=None, app_label=APP)
    _meta.object_name = "Flags"
    _meta.model_name = "flags"
    _meta.verbose_name = _meta.verbose_name_plural = "feature flags"


class FlagsAdmin(ModelAdmin):
    """Shows the flags to superusers, and to staff who hold the permission in `ADMIN_PERMISSION`."""

    def check(self, **kwargs: Any) -> list[Any]:
        return []  # they are about fields

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        user, permission = cast(Any, request).user, _permission()
        return bool(user.is_active and (user.is_superuser or (permission and user.has_perm(permission))))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest, *args: object) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        return [
            path("", self.admin_site.admin_view(self.page), name=f"{APP}_flags_changelist"),
            path("status/", self.admin_site.admin_view(self.status), name=f"{APP}_flags_status"),
        ]

    # Whom somebody tries comes in a POST's body: an address ends up in logs, in the history and in the next Referer.
    @method_decorator(sensitive_post_parameters())
    @method_decorator(never_cache)
    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def page(self, request: HttpRequest) -> HttpResponse:
        """Show all: the status, the flags, the last changes, and the flags of an identity that is tried."""
        self._check_permission(request)
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Feature flags"}
        try:
            context |= look(request)
        except ImproperlyConfigured as error:
            context["problem"] = str(error)
        return TemplateResponse(request, f"{APP}/admin/flags.html", context)

    @method_decorator(never_cache)
    @method_decorator(require_safe)
    def status(self, request: HttpRequest) -> HttpResponse:
        """Tell the page's script how things are, and which version is published."""
        self._check_permission(request)
        try:
            return JsonResponse(tell_status())
        except ImproperlyConfigured as error:
            return JsonResponse({"problem": str(error)}, status=503)

    def _check_permission(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def register(site: admin.AdminSite) -> None:
    """Put the page on an admin site."""
    site.register([cast(Any, FlagsEntry)], FlagsAdmin)


def _permission() -> str | None:
    try:
        return get_config().admin_permission
    except ImproperlyConfigured:  # the page says so, to superusers
        return None

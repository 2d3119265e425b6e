"""The page of flags in Django's admin: to look, not to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.core.paginator import Paginator
from django.db.models.options import Options
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from .api import Flags, get_flags
from .conf import get_config
from .exceptions import StoreError
from .forms import FilterForm, IdentityForm
from .health import Health, examine
from .history import PastChange
from .overview import list_flags, show_value
from .reader import get_reader
from .status_text import Styles, to_rows

APP = "django_flagsmith_realtime"
TONES = Styles(good=lambda mark: "good", bad=lambda mark: "bad", odd=lambda mark: "odd")
PER_PAGE = 200

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class FlagsPage:
    """What the admin takes for a model: a name in its index, and no table."""

    _meta: Options[Any] = Options(meta=None, app_label=APP)
    _meta.object_name = "Flags"
    _meta.model_name = "flags"
    _meta.verbose_name = _meta.verbose_name_plural = "flags"


class FlagsAdmin(ModelAdmin):
    """Shows the flags to superusers, and to staff with the permission in `ADMIN_PERMISSION`."""

    def check(self, **kwargs: Any) -> list[Any]:
        return []  # of models

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        user = cast(Any, request).user
        permission = _permission()
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

    @method_decorator(sensitive_post_parameters())
    @method_decorator(never_cache)
    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def page(self, request: HttpRequest) -> HttpResponse:
        """Show all: the status, the flags, the last changes, and the flags of an identity that is tried."""
        self._check_permission(request)
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Feature flags"}
        try:
            context |= _look(request)
        except ImproperlyConfigured as error:
            context["problem"] = str(error)
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, f"{APP}/admin/flags.html", context)

    @method_decorator(never_cache)
    @method_decorator(require_safe)
    def status(self, request: HttpRequest) -> HttpResponse:
        """Tell the page's script how things are, and which version is published."""
        self._check_permission(request)
        try:
            health = _examine()
        except ImproperlyConfigured as error:
            return JsonResponse({"problem": str(error)}, status=503)
        return JsonResponse({"version": _version(health), "rows": _status_rows(health)})

    def _check_permission(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def register(site: admin.AdminSite) -> None:
    """Put the page on an admin site."""
    site.register([cast(Any, FlagsPage)], FlagsAdmin)


register(admin.site)


def _permission() -> str | None:
    try:
        return get_config().admin_permission
    except ImproperlyConfigured:  # the page says so, to superusers
        return None


def _look(request: HttpRequest) -> dict[str, Any]:
    health, history = _examine(), _read_history()
    flags = get_flags(request, identity=None)
    rows = list_flags(flags.snapshot.environment, history) if flags.snapshot else []
    filters = FilterForm(request.GET)
    trial = IdentityForm(request.POST if request.method == "POST" else None)
    selected = filters.select(rows)
    return {
        "status": _status_rows(health),
        "version": _version(health),
        "filters": filters,
        "count": len(rows),
        "flags": Paginator(selected, PER_PAGE).get_page(request.GET.get("p")),
        "history": history,
        "trial": trial,
        "tried": _try(get_flags(request, identity=trial.identity), flags) if trial.is_valid() else None,
    }


def _examine() -> Health:
    config = get_config()
    return examine(config, get_reader(config).store)


def _read_history() -> list[PastChange]:
    try:
        return get_reader(get_config()).store.read_history()
    except StoreError:  # the status tells
        return []


def _version(health: Health) -> str:
    return health.head.version if health.head else ""


def _status_rows(health: Health) -> list[dict[str, str]]:
    return [
        {"label": row.label, "mark": row.mark, "tone": row.style(""), "text": row.text}
        for row in to_rows(health, TONES)
    ]


def _try(flags: Flags, everybodys: Flags) -> list[dict[str, Any]]:
    """Return an identity's flags, and where they are not everybody's."""
    return [
        {
            "flag": flag,
            "value": show_value(flag.value),
            "differs": (flag.enabled, flag.value) != (everybodys[name].enabled, everybodys[name].value),
        }
        for name in sorted(flags)
        for flag in (flags.get_flag(name),)
    ]

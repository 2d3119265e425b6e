"""The shop's pages."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from django_flagsmith_realtime import Flags, get_flags
from django_flagsmith_realtime.decorators import flag_enabled

from . import basket
from .catalog import GIFT_CARD, PRODUCTS
from .customers import CUSTOMERS, current_customer
from .theme import get_theme

DEFAULT_LIMIT = 10


@never_cache
async def home(request: HttpRequest) -> HttpResponse:
    """Show the shop."""
    flags = await request.aflags()
    gift_cards = (GIFT_CARD,) if flags.is_feature_enabled("gift_cards") else ()
    audience = [(each, get_flags(request, identity=each and each.identity)) for each in (None, *CUSTOMERS)]
    shown = {"products": gift_cards + PRODUCTS, "audience": audience}
    return render(request, "shop/home.html", {**_frame(request, flags), **shown})


@flag_enabled("new_checkout", fallback="old-checkout")
def checkout(request: HttpRequest) -> HttpResponse:
    """Show everything on one page."""
    return render(request, "shop/new_checkout.html", _frame(request, request.flags))


@flag_enabled("new_checkout", enabled=False, fallback="checkout")
def old_checkout(request: HttpRequest) -> HttpResponse:
    """Show the first of three pages."""
    return render(request, "shop/old_checkout.html", _frame(request, request.flags))


@require_POST
def change_basket(request: HttpRequest, slug: str) -> HttpResponse:
    """Add one of a product to the basket, or remove one."""
    by = -1 if request.POST.get("remove") else 1
    quantities = request.session.get("basket", basket.START)
    request.session["basket"] = basket.changed(quantities, slug, by, _limit())
    return redirect("home")


@require_POST
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in as one of the customers, or as a guest."""
    request.session["customer"] = request.POST.get("customer")
    return redirect("home")


@never_cache
def snapshot(request: HttpRequest) -> JsonResponse:
    """Return the process that answers, and the version of the flags that it reads."""
    held = get_flags().snapshot
    payload = {"pid": os.getpid(), "now": timezone.now(), "snapshot": None}
    if held:
        payload["snapshot"] = {
            "version": held.version[:8],
            "sequence": held.sequence,
            "updated_at": held.updated_at,
            "published_at": held.published_at,
        }
    return JsonResponse(payload)


def _frame(request: HttpRequest, flags: Flags) -> dict[str, Any]:
    return {
        "theme": get_theme(flags),
        "customer": current_customer(request),
        "basket": basket.read(request.session.get("basket", basket.START), _limit()),
        "sequence": flags.snapshot.sequence if flags.snapshot else 0,
        "flags_page": settings.FLAGS_PAGE,
    }


def _limit() -> int:
    return get_flags().get_feature_value("max_cart_items", DEFAULT_LIMIT, type=int)

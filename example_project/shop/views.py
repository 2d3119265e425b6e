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

from django_flagsmith_realtime import Identity, get_flags
from django_flagsmith_realtime.api import Flags
from django_flagsmith_realtime.decorators import flag_enabled

from . import basket
from .catalogue import GIFT_CARD, PRODUCTS
from .theme import get_theme

ALICE = Identity("user_alice", {"plan": "gold"})
DEFAULT_LIMIT = 10


@never_cache
async def home(request: HttpRequest) -> HttpResponse:
    """Show the shop."""
    return render(request, "shop/home.html", _shop(request, await request.aflags()))


@never_cache
def snapshot(request: HttpRequest) -> JsonResponse:
    """Tell which process answers, and which version of the flags it reads."""
    held = get_flags(request).snapshot
    payload = {"pid": os.getpid(), "now": timezone.now(), "snapshot": None}
    if held:
        payload["snapshot"] = {
            "version": held.version[:8],
            "sequence": held.sequence,
            "updated_at": held.updated_at,
            "published_at": held.published_at,
        }
    return JsonResponse(payload)


@require_POST
def change_basket(request: HttpRequest, slug: str) -> HttpResponse:
    """Put one more of a product into the basket, or take one out."""
    by = -1 if request.POST.get("take") else 1
    quantities = request.session.get("basket", basket.START)
    request.session["basket"] = basket.changed(quantities, slug, by, _limit(get_flags()))
    return redirect("home")


def old_checkout(request: HttpRequest) -> HttpResponse:
    """Show the first of three pages."""
    return render(request, "shop/old_checkout.html", _shop(request, request.flags))


@flag_enabled("new_checkout", fallback=old_checkout)
def checkout(request: HttpRequest) -> HttpResponse:
    """Show everything on one page."""
    return render(request, "shop/new_checkout.html", _shop(request, request.flags))


def _shop(request: HttpRequest, flags: Flags) -> dict[str, Any]:
    gift_cards = (GIFT_CARD,) if flags.is_feature_enabled("gift_cards") else ()
    return {
        "theme": get_theme(flags),
        "products": gift_cards + PRODUCTS,
        "basket": basket.read(request.session.get("basket", basket.START), _limit(flags)),
        "alice": get_flags(request, identity=ALICE),
        "sequence": flags.snapshot.sequence if flags.snapshot else 0,
        "flags_page": settings.FLAGS_PAGE,
    }


def _limit(flags: Flags) -> int:
    limit = flags.get_feature_value("max_cart_items", default=DEFAULT_LIMIT)
    return limit if isinstance(limit, int) else DEFAULT_LIMIT

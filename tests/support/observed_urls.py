"""Addresses of the pages that read flags, and the toolbar's: to be imported where it is installed."""

from __future__ import annotations

from django.urls import include, path

from tests.support import observed_pages as pages

urlpatterns = [
    path("plain/", pages.plain),
    path("page/", pages.page),
    path("apage/", pages.apage),
    path("defaults/", pages.defaults),
    path("own-flags/", pages.own_flags),
    path("jinja/", pages.jinja),
    path("calls/", pages.calls),
    path("acalls/", pages.acalls),
    path("without-scope/", pages.without_scope),
    path("checkout/", pages.checkout),
    path("acheckout/", pages.acheckout),
    path("class/", pages.Checkout.as_view()),
    path("crash/", pages.crash),
    path("__debug__/", include("debug_toolbar.urls")),
]

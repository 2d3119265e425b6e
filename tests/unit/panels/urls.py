"""Addresses of the pages that read flags, and the toolbar's: to be imported where it is installed."""

from __future__ import annotations

from django.urls import include, path

from tests.unit.panels import views

urlpatterns = [
    path("plain/", views.plain),
    path("page/", views.page),
    path("apage/", views.apage),
    path("defaults/", views.defaults),
    path("own-flags/", views.own_flags),
    path("jinja/", views.jinja),
    path("calls/", views.calls),
    path("acalls/", views.acalls),
    path("without-scope/", views.without_scope),
    path("checkout/", views.checkout),
    path("acheckout/", views.acheckout),
    path("class/", views.Checkout.as_view()),
    path("crash/", views.crash),
    path("__debug__/", include("debug_toolbar.urls")),
]

"""The shop's URLs."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("snapshot/", views.snapshot, name="snapshot"),
    path("basket/<slug:slug>/", views.change_basket, name="change-basket"),
    path("sign-in/", views.sign_in, name="sign-in"),
    path("checkout/", views.checkout, name="checkout"),
    path("checkout/address/", views.old_checkout, name="old-checkout"),
]

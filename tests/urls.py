from django.urls import path

from . import views

urlpatterns = [
    path("many/", views.many),
    path("amany/", views.amany),
    path("none/", views.none),
    path("anone/", views.anone),
    path("banner/", views.banner),
    path("abanner/", views.abanner),
    path("old-checkout/", views.old_checkout, name="old-checkout"),
]

from django.urls import include, path

from tests.support.project import consistency, views

urlpatterns = [
    path("flagsmith/", include("django_flagsmith_realtime.urls")),
    path("flagsmith/", include("django_flagsmith_realtime.live.urls")),
    path("many/", views.many),
    path("amany/", views.amany),
    path("none/", views.none),
    path("anone/", views.anone),
    path("banner/", views.banner),
    path("abanner/", views.abanner),
    path("consistent/", consistency.page),
    path("aconsistent/", consistency.apage),
    path("old-checkout/", views.old_checkout, name="old-checkout"),
]

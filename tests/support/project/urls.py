from django.urls import include, path

from django_flagsmith_realtime.prometheus import metrics
from tests.support.metrics import all_metrics
from tests.support.project import consistency, views

urlpatterns = [
    path("flagsmith/", include("django_flagsmith_realtime.urls")),
    path("flagsmith/", include("django_flagsmith_realtime.live.urls")),
    path("flagsmith/metrics", metrics),
    path("all-metrics/", all_metrics),
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

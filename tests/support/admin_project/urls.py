from django.contrib import admin
from django.http import HttpResponse
from django.urls import path

from django_flagsmith_realtime.admin import register

other = admin.AdminSite(name="other")
register(other)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("other/", other.urls),
    path("favicon.ico", lambda request: HttpResponse()),
]

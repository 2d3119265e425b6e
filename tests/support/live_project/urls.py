from django.contrib.auth.decorators import login_not_required
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path

from tests.support.live_project import views
from tests.support.project.views import none

urlpatterns = [
    path("flagsmith/", include("django_flagsmith_realtime.urls")),
    path("flagsmith/", include("django_flagsmith_realtime.live.urls")),
    path("none/", login_not_required(none)),
    path("login/<str:name>/", views.login),
    path("logout/", views.logout),
    path("flag/<str:name>/", views.flag),
    *staticfiles_urlpatterns(),
]

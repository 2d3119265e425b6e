from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.staticfiles.views import serve as serve_static
from django.urls import include, path
from django.views.static import serve

from tests.support.live_project import views
from tests.support.project.views import none

urlpatterns = [
    path("flagsmith/", include("django_flagsmith_realtime.urls")),
    path("flagsmith/", include("django_flagsmith_realtime.live.urls")),
    path("none/", login_not_required(none)),
    path("login/<str:name>/", views.login),
    path("logout/", views.logout),
    path("flag/<str:name>/", views.flag),
    path("page/", views.page),
    path("strict/", views.strict_page),
    path("banner/", views.banner, name="banner"),
    path("favicon.ico", views.no_icon),
    path("files/<path:path>", login_not_required(serve), {"document_root": settings.PAGES}),
    path("node_modules/<path:path>", login_not_required(serve), {"document_root": settings.NODE_MODULES}),
    path("static/<path:path>", login_not_required(serve_static), {"insecure": True}),
]

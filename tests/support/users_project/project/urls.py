"""One page, in both of Django's worlds."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template import RequestContext, Template
from django.urls import path

PAGE = Template(
    "{% load flagsmith %}"
    "{% flag 'new_checkout' %}new{% else %}old{% endflag %}|{% flag_value 'banner' default='none' %}|{% flag_value 'footer' %}"
)


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE.render(RequestContext(request)))


async def apage(request: HttpRequest) -> HttpResponse:
    flags: Any = await request.aflags()
    state = "new" if flags.is_feature_enabled("new_checkout") else "old"
    return HttpResponse(f"{state}|{flags.get_feature_value('banner', 'none')}|{flags.get_feature_value('footer')}")


urlpatterns = [path("", page), path("async/", apage)]

"""`@flag_enabled` on views of all kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import Http404, HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from django_flagsmith_realtime.decorators import flag_enabled
from tests.support.cases import each_case
from tests.support.documents import publish


def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    """Serve the new checkout."""
    return HttpResponse(f"new {args} {kwargs}")


async def aview(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    """Serve the new checkout."""
    return HttpResponse(f"new {args} {kwargs}")


def other(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    return HttpResponse(f"other {args} {kwargs}")


async def aother(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    return HttpResponse(f"other {args} {kwargs}")


def call(decorated: Callable[..., Any], *args: Any, **kwargs: Any) -> HttpResponse:
    answer = decorated(RequestFactory().get("/"), *args, **kwargs)
    return asyncio.run(answer) if asyncio.iscoroutine(answer) else answer


each_sample = each_case("sample", [view, aview])


class TestViews:
    @each_sample
    def test_run_with_their_arguments_while_the_flag_is_on(self, sample: Any) -> None:
        publish(new_checkout=True)
        assert call(flag_enabled("new_checkout")(sample), 1, b=2).content == b"new (1,) {'b': 2}"

    @each_sample
    def test_do_not_exist_while_it_is_off_or_unknown(self, sample: Any) -> None:
        publish(new_checkout=False)
        for name in ("new_checkout", "no_such_flag"):
            with pytest.raises(Http404):
                call(flag_enabled(name)(sample))

    @each_sample
    def test_follow_a_change_with_the_next_request(self, sample: Any) -> None:
        decorated = flag_enabled("new_checkout", fallback=other)(sample)
        for enabled in (True, False, True):
            publish(new_checkout=enabled)
            assert call(decorated).content.startswith(b"new" if enabled else b"other")

    @each_sample
    def test_keep_their_names_and_attributes(self, sample: Any) -> None:
        decorated = flag_enabled("new_checkout")(csrf_exempt(sample))
        assert decorated.__name__ == sample.__name__
        assert decorated.__doc__ == sample.__doc__
        assert decorated.csrf_exempt is True
        assert iscoroutinefunction(decorated) is iscoroutinefunction(sample)

    @each_sample
    def test_may_be_partials(self, sample: Any) -> None:
        publish(new_checkout=True)
        assert call(flag_enabled("new_checkout")(partial(sample, extra=1))).content == b"new () {'extra': 1}"


class TestFallback:
    @pytest.fixture(autouse=True)
    def off(self) -> None:
        publish(new_checkout=False)

    @each_case(("sample", "fallback"), [(view, other), (aview, aother), (aview, other)])
    def test_a_callable_gets_the_views_arguments(self, sample: Any, fallback: Any) -> None:
        answer = call(flag_enabled("new_checkout", fallback=fallback)(sample), 1, b=2)
        assert answer.content == b"other (1,) {'b': 2}"

    @each_case(
        ("fallback", "target"),
        [
            ("old-checkout", "/old-checkout/"),
            ("/somewhere/", "/somewhere/"),
            ("https://a.example/", "https://a.example/"),
        ],
    )
    @each_sample
    def test_a_string_is_redirected_to(self, sample: Any, fallback: str, target: str) -> None:
        answer = call(flag_enabled("new_checkout", fallback=fallback)(sample), 1, b=2)
        assert (answer.status_code, answer["Location"]) == (302, target)

    @each_sample
    def test_is_not_used_while_the_flag_is_on(self, sample: Any) -> None:
        publish(new_checkout=True)
        assert call(flag_enabled("new_checkout", fallback="old-checkout")(sample)).status_code == 200


class TestSeveralFlags:
    @each_case(
        ("states", "both_on", "both_off"),
        [((True, True), True, False), ((True, False), False, False), ((False, False), False, True)],
    )
    @each_sample
    def test_all_have_to_be_on_or_all_off(
        self, sample: Any, states: tuple[bool, bool], both_on: bool, both_off: bool
    ) -> None:
        new_checkout, gift_cards = states
        publish(new_checkout=new_checkout, gift_cards=gift_cards)
        for enabled, is_open in ((True, both_on), (False, both_off)):
            decorated = flag_enabled("new_checkout", "gift_cards", enabled=enabled, fallback=other)(sample)
            assert call(decorated).content.startswith(b"new" if is_open else b"other")

    @each_sample
    def test_the_404_names_none_of_them_and_the_log_does(self, sample: Any, caplog: pytest.LogCaptureFixture) -> None:
        publish(new_checkout=True, gift_cards=False)
        caplog.clear()
        with caplog.at_level("DEBUG", "django_flagsmith_realtime.decorators"):
            with pytest.raises(Http404) as both:
                call(flag_enabled("new_checkout", "gift_cards")(sample))
            with pytest.raises(Http404) as neither:
                call(flag_enabled("new_checkout", enabled=False)(sample))
        assert both.value.args == neither.value.args == ()
        assert [record.getMessage() for record in caplog.records] == [
            "404: not all flags are on: ('new_checkout', 'gift_cards')",
            "404: not all flags are off: ('new_checkout',)",
        ]


class TestWrongUse:
    """Found when the module is imported, not when the flag is off."""

    @each_case(
        ("decorate", "message"),
        [
            (lambda: flag_enabled()(view), r'flag_enabled\("new_checkout"\)'),
            (lambda: flag_enabled(view), r'flag_enabled\("new_checkout"\)'),  # type: ignore[arg-type]
            (lambda: flag_enabled("")(view), "not \\("),
            (lambda: flag_enabled(["a", "b"])(view), "not \\("),  # type: ignore[arg-type]
            (lambda: flag_enabled("a", enabled="no")(view), "True or False, not 'no'"),  # type: ignore[arg-type]
            (lambda: flag_enabled("a", fallback=404)(view), "not 404"),  # type: ignore[arg-type]
            (lambda: flag_enabled("a")("view"), "decorates a view, not 'view'"),  # type: ignore[type-var]
            (lambda: flag_enabled("a")(View), "View is a class: derive it from FlagEnabledMixin"),
            (lambda: flag_enabled("a", fallback=aother)(view), "async, and the view is not"),
        ],
    )
    def test_is_an_error_that_says_what_to_write(self, decorate: Callable[[], Any], message: str) -> None:
        with pytest.raises(TypeError, match=message):
            decorate()

    def test_on_a_method_it_says_what_to_write_when_it_is_called(self) -> None:
        class Wrong:
            @flag_enabled("new_checkout")
            def get(self, request: HttpRequest) -> HttpResponse:
                return HttpResponse()

            @flag_enabled("new_checkout")
            async def aget(self, request: HttpRequest) -> HttpResponse:
                return HttpResponse()

        request = RequestFactory().get("/")
        with pytest.raises(TypeError, match=r"not Wrong: on a method use @method_decorator"):
            Wrong().get(request)
        with pytest.raises(TypeError, match=r"not Wrong: on a method use @method_decorator"):
            asyncio.run(Wrong().aget(request))


@method_decorator(flag_enabled("new_checkout", fallback="old-checkout"), name="dispatch")
class WholeView(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("new")


class OneMethod(View):
    @method_decorator(flag_enabled("new_checkout"))
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("new")


class AsyncMethod(View):
    @method_decorator(flag_enabled("new_checkout"))
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("new")


class AsyncView(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("new")


@each_case(
    ("class_based", "closed"),
    [
        (WholeView.as_view(), 302),
        (OneMethod.as_view(), 404),
        (AsyncMethod.as_view(), 404),
        (flag_enabled("new_checkout")(AsyncView.as_view()), 404),
    ],
)
def test_class_based_views(settings: Any, class_based: Any, closed: int) -> None:
    settings.ROOT_URLCONF = (path("", class_based), path("old-checkout/", other, name="old-checkout"))

    def get() -> HttpResponse:
        return asyncio.run(AsyncClient().get("/")) if iscoroutinefunction(class_based) else Client().get("/")

    publish(new_checkout=True)
    assert get().content == b"new"
    publish(new_checkout=False)
    assert get().status_code == closed

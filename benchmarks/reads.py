"""What reading a flag costs."""

from __future__ import annotations

import asyncio
import time
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import override_settings
from django.utils.decorators import sync_and_async_middleware  # noqa: F401

from django_flagsmith_realtime import Identity, aget_flags, flags_scope, get_flags
from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.decorators import flag_enabled
from django_flagsmith_realtime.middleware import FlagsmithMiddleware
from django_flagsmith_realtime.reader import get_reader
from django_flagsmith_realtime.snapshot import parse_document
from django_flagsmith_realtime.store import Store

from . import peers
from .documents import (
    MEDIUM,
    OVERRIDDEN,
    OVERRIDE,
    PLAIN,
    SEGMENT,
    SIZES,
    SPLIT,
    TRAITS,
    Size,
    make_body,
    make_document,
)
from .rounds import Contender, race, shown_ratio, shown_time
from .tables import Table

BACKENDS = ("local memory", "Redis", "memcached", "DatabaseCache")
ON, OFF = PLAIN, SPLIT


def requests(count: int) -> Iterable[HttpRequest]:
    return [HttpRequest() for _ in range(count)]


def publish(size: Size, alias: str) -> None:
    store = Store(alias, get_config().namespace)
    store.publish(parse_document(json.loads(make_body(size))), after=store.read_head())
    store.close()


@contextmanager
def published(size: Size, alias: str, **setting: Any) -> Iterator[None]:
    """Let this process read a document of a size, published in a cache."""
    with override_settings(FLAGSMITH={"ENVIRONMENT_KEY": f"ser.{size.name}", "CACHE": alias, **setting}):
        publish(size, alias)
        assert get_reader().current()
        yield


def tables(turns: int) -> Iterator[Table]:
    yield known(turns)
    yield first(turns)
    yield first_of_size(turns)
    yield identities(turns)
    yield middleware(turns)


def _row(name: str, contender: Contender, floor: Contender, *others: Contender) -> list[str]:
    return [name, shown_time(contender.median), *(shown_ratio(contender.ratio(other)) for other in (floor, *others))]


def known(turns: int) -> Table:
    """Reads of flags that were read before, and what others take for the same."""
    document = make_document(MEDIUM)
    peers.fill_waffle(document)
    peers.fill_django_flags(document)
    sdk, unleash, (ld, ld_context) = (
        peers.flagsmith_sdk(document),
        peers.unleash(document),
        peers.launchdarkly(document),
    )
    import waffle
    from flags.state import flag_enabled as django_flag_enabled

    lookup = {state["feature"]["name"]: state for state in document["feature_states"]}
    request = HttpRequest()
    view = flag_enabled(ON)(lambda request: None)
    template = engines["django"].from_string('{% load flagsmith %}{% flag "' + ON + '" %}{% endflag %}').template
    jinja = engines["jinja2"].from_string('{% flag "' + ON + '" %}{% endflag %}').template
    from django.template import Context

    context = Context({"request": request})
    with published(MEDIUM, "Redis"), flags_scope():
        flags, known_flags = get_flags(), get_flags(identity=Identity("someone", TRAITS))
        get_flags(request).is_feature_enabled(ON)
        known_flags.is_feature_enabled(ON)
        flags.is_feature_enabled(ON)
        _add(request)
        ours = {
            "`d[name]`": Contender("d[name]", d=lookup, name=ON),
            "`flags.is_feature_enabled(name)`": Contender("flags.is_feature_enabled(name)", flags=flags, name=ON),
            "`flags.get_feature_value(name)`": Contender("flags.get_feature_value(name)", flags=flags, name=ON),
            "`flags.get_feature_value(name, default)`": Contender(
                "flags.get_feature_value(name, '')", flags=flags, name=ON
            ),
            "the same of an identity": Contender("flags.is_feature_enabled(name)", flags=known_flags, name=ON),
            "`flags[name]`, a copy": Contender("flags[name]", flags=flags, name=ON),
            "`get_flags().is_feature_enabled(name)`": Contender(
                "get_flags().is_feature_enabled(name)", get_flags=get_flags, name=ON
            ),
            "`get_flags().get_feature_value(name)`": Contender(
                "get_flags().get_feature_value(name)", get_flags=get_flags, name=ON
            ),
            "`get_flags(request).is_feature_enabled(name)`": Contender(
                "get_flags(request).is_feature_enabled(name)", get_flags=get_flags, name=ON, request=request
            ),
            "`request.flags.is_feature_enabled(name)`": Contender(
                "request.flags.is_feature_enabled(name)", name=ON, request=request
            ),
            "`@flag_enabled(name)`, the view's call included": Contender("view(request)", view=view, request=request),
            "`{% flag name %}`, the rendering of an else empty template included": Contender(
                "t.render(c)", t=template, c=context
            ),
            "`{% flag name %}` in Jinja2, likewise": Contender("t.render(request=request)", t=jinja, request=request),
        }
        theirs = {
            "official SDK, `get_environment_flags().is_feature_enabled(name)`": Contender(
                "sdk.get_environment_flags().is_feature_enabled(name)", sdk=sdk, name=ON
            ),
            "official SDK, flags held": Contender(
                "flags.is_feature_enabled(name)", flags=sdk.get_environment_flags(), name=ON
            ),
            "django-waffle on Redis, `flag_is_active(request, name)`": _waffle("Redis", request),
            "django-waffle on local memory": _waffle("local memory", request),
            "django-flags, `flag_enabled(name)`, settings and database": Contender(
                "f(name)", f=django_flag_enabled, name=ON
            ),
            "LaunchDarkly, `variation(name, context, False)`": Contender(
                "ld.variation(name, context, False)", ld=ld, name=ON, context=ld_context
            ),
            "Unleash, `is_enabled(name)`": Contender("unleash.is_enabled(name)", unleash=unleash, name=ON),
        }
        assert django_flag_enabled(ON) and ld.variation(ON, ld_context, False) and unleash.is_enabled(ON)
        assert waffle.flag_is_active(request, ON)
        contenders = {**ours, **theirs}
        race(contenders.values(), turns)
    ld.close()
    unleash.destroy()
    floor, held = contenders["`d[name]`"], contenders["`flags.is_feature_enabled(name)`"]
    rows = [
        [*_row(name, contender, floor), shown_ratio(contender.ratio(held))] for name, contender in contenders.items()
    ]
    return Table(
        "A flag that was read before",
        f"In a request, or with a `Flags` that is held; {MEDIUM}. Peers have no “before” where they ask anew each time.",
        ["read", "time", "to `d[name]`", "to `flags.is_feature_enabled(name)`"],
        rows,
    )


def _add(request: HttpRequest) -> None:
    def keep(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    FlagsmithMiddleware(keep)(request)


def _waffle(alias: str, request: HttpRequest) -> Contender:
    import waffle

    def read(request: HttpRequest, name: str) -> Any:
        return waffle.flag_is_active(request, name)

    # waffle looks its cache up by name with each read; an alias costs nothing to switch
    return Contender(
        "settings.WAFFLE_CACHE_NAME = alias\nread(request, name)",
        settings=_settings(),
        alias=alias,
        read=waffle.flag_is_active,
        request=request,
        name=ON,
    )


def _settings() -> Any:
    from django.conf import settings

    return settings


def first(turns: int) -> Table:
    """The first flag of a request, on each cache."""
    table = Table(
        "The first flag of a request",
        f"A new `HttpRequest` for each read; {MEDIUM}. *One GET* is `cache.get` of the same small key by a cache object that is held.",
        [
            "cache",
            "one GET",
            "first flag",
            "to one GET",
            "within `FRESHNESS`",
            "to `d[name]`",
            "first with an identity",
            "awaited",
            "django-waffle",
            "to first flag",
        ],
    )
    for alias in BACKENDS:
        table.rows.append(_first(alias, turns))
    return table


def _first(alias: str, turns: int) -> list[str]:
    from django.conf import settings
    from waffle import flag_is_active

    settings.WAFFLE_CACHE_NAME = alias
    flag_is_active(HttpRequest(), ON)
    key = "flagsmith:2:{}:head"
    with published(MEDIUM, alias):
        from django_flagsmith_realtime.cache import cache_key

        cache = caches.create_connection(alias)
        key = cache_key(get_config().namespace, "head")
        assert cache.get(key)
        lookup = Contender("d[name]", d={ON: 1}, name=ON)
        get = Contender("cache.get(key)", cache=cache, key=key)
        ours = Contender("get_flags(item).is_feature_enabled(name)", requests, get_flags=get_flags, name=ON)
        identity = Contender(
            "get_flags(item, identity=identity).is_feature_enabled(name)",
            requests,
            get_flags=get_flags,
            name=ON,
            identity=Identity("someone", TRAITS),
        )
        waffle = Contender("read(item, name)", requests, read=flag_is_active, name=ON)
        race([lookup, get, ours, identity, waffle], turns, clock=time.perf_counter)
        awaited = _awaited(turns)
    with published(MEDIUM, alias, FRESHNESS=3600):
        fresh = Contender("get_flags(item).is_feature_enabled(name)", requests, get_flags=get_flags, name=ON)
        again = Contender("d[name]", d={ON: 1}, name=ON)
        race([again, fresh], turns)
    return [
        alias,
        shown_time(get.median),
        shown_time(ours.median),
        shown_ratio(ours.ratio(get)),
        shown_time(fresh.median),
        shown_ratio(fresh.ratio(again)),
        shown_ratio(identity.ratio(get)),
        awaited,
        shown_ratio(waffle.ratio(get)),
        shown_ratio(waffle.ratio(ours)),
    ]


def _awaited(turns: int) -> str:
    import statistics
    import time

    async def read(count: int) -> float:
        items = requests(count)
        began = time.perf_counter()
        for request in items:
            (await aget_flags(request)).is_feature_enabled(ON)
        return (time.perf_counter() - began) / count * 1e9

    async def all_turns() -> list[float]:
        return [await read(20) for _ in range(turns)]

    return shown_time(statistics.median(asyncio.run(all_turns())))


def first_of_size(turns: int) -> Table:
    table = Table(
        "The first flag of a request, by size of the environment",
        "On Redis. The snapshot is in the process; the size changes nothing.",
        ["environment", "first flag", "to one GET", "official SDK, `get_environment_flags().…`", "to first flag"],
    )
    for size in SIZES:
        with published(size, "Redis"):
            from django_flagsmith_realtime.cache import cache_key

            cache = caches.create_connection("Redis")
            get = Contender("cache.get(key)", cache=cache, key=cache_key(get_config().namespace, "head"))
            ours = Contender("get_flags(item).is_feature_enabled(name)", requests, get_flags=get_flags, name=ON)
            sdk = Contender(
                "sdk.get_environment_flags().is_feature_enabled(name)",
                sdk=peers.flagsmith_sdk(make_document(size)),
                name=ON,
            )
            race([get, ours, sdk], turns, clock=time.perf_counter)
            table.rows.append(
                [
                    str(size),
                    shown_time(ours.median),
                    shown_ratio(ours.ratio(get)),
                    shown_time(sdk.median),
                    shown_ratio(sdk.ratio(ours)),
                ]
            )
    return table


def identities(turns: int) -> Table:
    table = Table(
        "A flag of an identity",
        "Evaluated anew for each identity: `get_flags(request, identity=…)` beside the official SDK's `get_identity_flags(…)`, with `FRESHNESS` so that neither asks a cache. *Again*: the same flag of the same identity.",
        ["environment", "decided by", "here", "official SDK", "to the SDK", "again, to `d[name]`"],
    )
    kinds = {
        "environment": (PLAIN, "someone"),
        "segment": (SEGMENT, "someone"),
        "identity override": (OVERRIDE, OVERRIDDEN),
        "percentage split": (SPLIT, "someone"),
    }
    for size in SIZES:
        with published(size, "local memory", FRESHNESS=3600):
            sdk = peers.flagsmith_sdk(make_document(size))
            for kind, (name, who) in kinds.items():
                whom = Identity(who, TRAITS)
                theirs = sdk.get_identity_flags(who, TRAITS).get_flag(name)
                flags = get_flags(HttpRequest(), identity=whom)
                assert flags.get_flag(name) == theirs, (flags.get_flag(name), theirs)
                here = Contender(
                    "get_flags(item, identity=whom).is_feature_enabled(name)",
                    requests,
                    get_flags=get_flags,
                    name=name,
                    whom=whom,
                )
                there = Contender(
                    "sdk.get_identity_flags(who, traits).is_feature_enabled(name)",
                    sdk=sdk,
                    who=who,
                    traits=TRAITS,
                    name=name,
                )
                again = Contender("flags.is_feature_enabled(name)", flags=flags, name=name)
                lookup = Contender("d[name]", d={name: 1}, name=name)
                race([here, there, again, lookup], turns)
                table.rows.append(
                    [
                        size.name,
                        kind,
                        shown_time(here.median),
                        shown_time(there.median),
                        shown_ratio(here.ratio(there)),
                        shown_ratio(again.ratio(lookup)),
                    ]
                )
    return table


class Empty:
    """A middleware that does nothing, as Django's documentation writes one."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)


def middleware(turns: int) -> Table:
    response = HttpResponse()

    def page(request: HttpRequest) -> HttpResponse:
        return response

    with published(MEDIUM, "Redis"):
        lookup = Contender("d[name]", d={ON: 1}, name=ON)
        bare = Contender("m(item)", requests, m=Empty(page))
        ours = Contender("m(item)", requests, m=FlagsmithMiddleware(page))
        race([lookup, bare, ours], turns)
    import statistics

    extra = [(o - b) / l for o, b, l in zip(ours.nanoseconds, bare.nanoseconds, lookup.nanoseconds)]
    more = [o - b for o, b in zip(ours.nanoseconds, bare.nanoseconds)]
    return Table(
        "The middleware on a page that reads no flag",
        "Beside a middleware that only calls the next one.",
        ["more than the empty one", "in `d[name]`"],
        [[shown_time(statistics.median(more)), shown_ratio(statistics.median(extra))]],
    )

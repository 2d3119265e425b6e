"""What reading a flag costs."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.template import Context, engines
from flags.state import flag_enabled as django_flag_enabled
from waffle import flag_is_active

from django_flagsmith_realtime import Identity, aget_flags, flags_scope, get_flags
from django_flagsmith_realtime.conf import get_config
from django_flagsmith_realtime.decorators import flag_enabled
from django_flagsmith_realtime.middleware import FlagsmithMiddleware
from django_flagsmith_realtime.reading.scope import ATTRIBUTE
from django_flagsmith_realtime.storage.cache import cache_key

from . import peers
from .documents import MEDIUM, OVERRIDDEN, OVERRIDE, PLAIN, SEGMENT, SIZES, SPLIT, TRAITS, make_document
from .publishing import published
from .rounds import Contender, race, shown_ratio, shown_time
from .tables import Table

BACKENDS = ("local memory", "Redis", "memcached", "DatabaseCache")
KINDS = {
    "the environment": (PLAIN, "somebody"),
    "a segment": (SEGMENT, "somebody"),
    "an identity override": (OVERRIDE, OVERRIDDEN),
    "a percentage": (SPLIT, "somebody"),
}
READ = f"get_flags(request).is_feature_enabled(name); request.__dict__.pop({ATTRIBUTE!r})"  # the next is a first one


def tables(turns: int) -> Iterator[Table]:
    yield known(turns)
    yield first(turns)
    yield identities(turns)


def known(turns: int) -> Table:
    table = Table(
        "Reading a flag again",
        f"Within a request, or from a `Flags` that the code keeps; {MEDIUM}. The peers are called as their "
        "documentation says, in the same process; django-waffle and django-flags keep the same flags in SQLite. "
        "CPU time of the thread.",
        ["read", "time", "to `get_flags().…`"],
    )
    document = make_document(MEDIUM)
    with published(MEDIUM, "Redis"), flags_scope(), closing(peers.launchdarkly_client(document)) as launchdarkly:
        lookup = Contender("d[name]", d={f"flag_{number:04}": True for number in range(100)}, name=PLAIN)
        contenders = {"`d[name]`": lookup, **_ours(), **_theirs(document, launchdarkly)}
        race(contenders.values(), turns)
    usual = contenders["`get_flags().is_feature_enabled(name)`"]
    for name, contender in contenders.items():
        table.rows.append([name, shown_time(contender.median), shown_ratio(contender.ratio(usual))])
    return table


def _ours() -> dict[str, Contender]:
    request = HttpRequest()
    FlagsmithMiddleware(lambda request: HttpResponse())(request)
    flags, identity_flags = get_flags(), get_flags(identity=Identity("somebody", TRAITS))
    for each in (flags, identity_flags, get_flags(request)):
        assert each.is_feature_enabled(PLAIN)
    context = Context({"request": request})
    empty = engines["django"].from_string("").template
    template = engines["django"].from_string(f'{{% load flagsmith %}}{{% flag "{PLAIN}" %}}{{% endflag %}}').template
    jinja = engines["jinja2"].from_string(f'{{% flag "{PLAIN}" %}}{{% endflag %}}').template
    jinja_empty = engines["jinja2"].from_string("").template
    common = {"get_flags": get_flags, "name": PLAIN, "request": request}
    return {
        "`flags.is_feature_enabled(name)`": Contender("flags.is_feature_enabled(name)", flags=flags, name=PLAIN),
        "`flags.get_feature_value(name)`": Contender("flags.get_feature_value(name)", flags=flags, name=PLAIN),
        "the same of an identity": Contender("flags.is_feature_enabled(name)", flags=identity_flags, name=PLAIN),
        "`flags[name]`, a copy": Contender("flags[name]", flags=flags, name=PLAIN),
        "`get_flags().is_feature_enabled(name)`": Contender("get_flags().is_feature_enabled(name)", **common),
        "`get_flags().get_feature_value(name)`": Contender("get_flags().get_feature_value(name)", **common),
        "`get_flags(request).is_feature_enabled(name)`": Contender(
            "get_flags(request).is_feature_enabled(name)", **common
        ),
        "`request.flags.is_feature_enabled(name)`": Contender("request.flags.is_feature_enabled(name)", **common),
        "`@flag_enabled(name)` and its view": Contender("view(request)", view=flag_enabled(PLAIN)(id), request=request),
        "an empty template": Contender("empty.render(context)", empty=empty, context=context),
        "a template that is one `{% flag %}`": Contender(
            "template.render(context)", template=template, context=context
        ),
        "an empty template of Jinja2": Contender("empty.render(request=request)", empty=jinja_empty, request=request),
        "one that is one `{% flag %}`": Contender("template.render(request=request)", template=jinja, request=request),
    }


def _theirs(document: Any, launchdarkly: Any) -> dict[str, Contender]:
    peers.fill_waffle(document)
    peers.fill_django_flags(document)
    sdk, unleash, request = peers.flagsmith_sdk(document), peers.unleash(document), HttpRequest()
    nobody = peers.launchdarkly_context()
    assert all((flag_is_active(request, PLAIN), django_flag_enabled(PLAIN), unleash.is_enabled(PLAIN)))
    assert launchdarkly.variation(PLAIN, nobody, False)
    waffle = "settings.WAFFLE_CACHE_NAME = alias; flag_is_active(request, name)"
    for_waffle = {"settings": settings, "flag_is_active": flag_is_active, "request": request, "name": PLAIN}
    return {
        "Flagsmith's SDK, `get_environment_flags().is_feature_enabled(name)`": Contender(
            "sdk.get_environment_flags().is_feature_enabled(name)", sdk=sdk, name=PLAIN
        ),
        "Flagsmith's SDK, flags that are held": Contender(
            "flags.is_feature_enabled(name)", flags=sdk.get_environment_flags(), name=PLAIN
        ),
        "django-waffle on Redis, `flag_is_active(request, name)`": Contender(waffle, alias="Redis", **for_waffle),
        "django-waffle on local memory": Contender(waffle, alias="local memory", **for_waffle),
        "django-flags, `flag_enabled(name)`": Contender(
            "flag_enabled(name)", flag_enabled=django_flag_enabled, name=PLAIN
        ),
        "LaunchDarkly, `variation(name, context, False)`": Contender(
            "client.variation(name, nobody, False)", client=launchdarkly, name=PLAIN, nobody=nobody
        ),
        "Unleash, `is_enabled(name)`": Contender("unleash.is_enabled(name)", unleash=unleash, name=PLAIN),
    }


def first(turns: int) -> Table:
    table = Table(
        "The first read of a request",
        f"{MEDIUM}. *One GET*: `cache.get` of the same small key, on a cache object of Django's that is kept. "
        "Wall-clock time, except *within `FRESHNESS`*: CPU time of a read that need not ask the cache.",
        [
            "cache",
            "one GET",
            "first flag",
            "to one GET",
            "first flag awaited",
            "within `FRESHNESS`",
            "django-waffle, each flag",
            "to our first",
        ],
    )
    peers.fill_waffle(make_document(MEDIUM))
    for alias in BACKENDS:
        with published(MEDIUM, alias, FRESHNESS=0):
            asked = _asked(alias, turns)
        with published(MEDIUM, alias, FRESHNESS=3_600):
            fresh = Contender(READ, get_flags=get_flags, request=HttpRequest(), name=PLAIN)
            race([fresh], turns)
        table.rows.append([alias, *asked[:-2], shown_time(fresh.median), *asked[-2:]])
    return table


def _asked(alias: str, turns: int) -> list[str]:
    settings.WAFFLE_CACHE_NAME = alias
    request, cache = HttpRequest(), caches.create_connection(alias)
    get = Contender("cache.get(key)", cache=cache, key=cache_key(get_config().namespace, "head"))
    ours = Contender(READ, get_flags=get_flags, request=request, name=PLAIN)
    waffle = Contender("flag_is_active(request, name)", flag_is_active=flag_is_active, request=request, name=PLAIN)
    race([get, ours, waffle], turns, clock=time.perf_counter)
    awaited = asyncio.run(_awaited(turns))
    return [
        *(shown_time(each.median) for each in (get, ours)),
        shown_ratio(ours.ratio(get)),
        shown_time(awaited),
        shown_time(waffle.median),
        shown_ratio(waffle.ratio(ours)),
    ]


async def _awaited(turns: int) -> float:
    taken = []
    for _ in range(turns):
        began = time.perf_counter()
        for _ in range(20):
            (await aget_flags(HttpRequest())).is_feature_enabled(PLAIN)
        taken.append((time.perf_counter() - began) / 20 * 1e9)
    return statistics.median(taken)


def identities(turns: int) -> Table:
    table = Table(
        "A flag evaluated for an identity",
        "Each round evaluates for another identity, in one request: `get_flags(identity=…)`, and "
        "`get_identity_flags(…)` of the official SDK, which evaluates as lazily. *Again*: the same flag of the "
        "same identity, a second time.",
        ["environment", "decided by", "here", "official SDK", "to the SDK", "again"],
    )
    for size in SIZES:
        sdk = peers.flagsmith_sdk(make_document(size))
        with published(size, "local memory"), flags_scope():
            for kind, (name, who) in KINDS.items():
                table.rows.append([size.name, kind, *_identity(sdk, name, who, turns)])
    return table


def _identity(sdk: Any, name: str, who: str, turns: int) -> list[str]:
    names = [who] if who == OVERRIDDEN else [f"{who} {number}" for number in range(1_000)]
    people = cycle(
        [Identity(each, {**TRAITS, "round": number}) for each in names for number in range(1_000 // len(names))]
    )
    flags = get_flags(identity=next(people))
    assert flags.get_flag(name) == sdk.get_identity_flags(flags.identity.identifier, TRAITS).get_flag(name)
    read = "get_flags(identity=next(people)).is_feature_enabled(name)"
    ours = Contender(read, get_flags=get_flags, next=next, people=people, name=name)
    read = "who = next(people); sdk.get_identity_flags(who.identifier, who.traits).is_feature_enabled(name)"
    theirs = Contender(read, sdk=sdk, next=next, people=people, name=name)
    again = Contender("flags.is_feature_enabled(name)", flags=flags, name=name)
    race([ours, theirs, again], turns)
    here, there, repeated = (shown_time(each.median) for each in (ours, theirs, again))
    return [here, there, shown_ratio(ours.ratio(theirs)), repeated]

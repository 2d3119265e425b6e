"""Build the listener and its parts from the settings."""

from __future__ import annotations

import logging
import time
from functools import partial

from ..conf import Config
from ..reading.reader import get_reader
from ..storage.backends import get_backend
from ..storage.lease import Alone, Lease, LeaseKeeper
from ..storage.store import Store
from .backoff import Backoff
from .event_log import EventLog
from .events import Subscriber
from .http import can_connect
from .hub import post
from .listener import MAINTENANCE_SECONDS, Listener
from .publisher import Publisher
from .schedule import Budget, Schedule
from .signal_sender import SignalSender
from .sources import ApiSource, FileSource, Source
from .status_tracker import StatusTracker
from .stream import Stream
from .stream_health import NEVER
from .usage import UsageReporter

INBOX_SECONDS = 0.2  # 0.1 ms of CPU on Redis, memcached and databases, and sooner than anybody notices

logger = logging.getLogger("django_flagsmith_realtime.listener.listener")


def build_listener(config: Config, *, with_stream: bool = True, budget: Budget | None = None) -> Listener:
    """Return a listener for Flagsmith, or for the file that is edited in place of an account there.

    `budget` is what is left of that of a listener before it, where several follow one another.
    """
    clock, publisher, lease = time.monotonic, build_publisher(config), build_lease(config)
    source = publisher.source
    poll_only, open_stream = None, None
    fallback = config.fallback_poll_interval
    schedule = partial(
        Schedule, now=clock(), poll_interval=config.poll_interval, fallback_poll_interval=fallback, budget=budget
    )
    if interval := source.interval:
        poll_only = f"{source.setting} is the source, read every {interval:g} s."
        retry = Backoff(first=interval, limit=interval, least=1.0)
        schedule = partial(Schedule, now=clock(), poll_interval=interval, budget=Budget(capacity=NEVER), retry=retry)
    elif config.realtime_url is None:
        instead = f"a poll every {fallback:g} s"
        if config.realtime_token:
            instead = f"queue-change, and {instead} until it announces something"
        elif config.webhook_secret:
            instead = f"webhooks, and {instead}"
        poll_only = f"FLAGSMITH['REALTIME_URL'] is None; {instead}."
    elif with_stream:
        open_stream = partial(
            Stream, realtime_url=config.realtime_url, timeout=config.stream_timeout, headers=config.headers
        )
    if lease is None:
        logger.warning(
            "The cache %r can't tell which of several Flagsmith listeners leads: this one leads, and must be the "
            "only one. Redis, memcached and DatabaseCache can.",
            config.cache,
        )
    status_tracker = build_status_tracker(config, source, poll_only=poll_only, listens=with_stream)
    can_reach = partial(can_connect, config.realtime_url or config.api_url)
    subscribers: list[Subscriber] = [EventLog(poll_only=poll_only, clock=clock), status_tracker, SignalSender(clock)]
    if config.reports_usage and lease:
        subscribers.append(build_usage_reporter(config))
    return Listener(
        publisher=publisher,
        schedule=schedule(may_be_behind=source.is_flagsmith),
        status_tracker=status_tracker,
        subscribers=subscribers,
        open_stream=open_stream,
        stream_key=config.stream_key,
        leadership=LeaseKeeper(lease, can_reach) if lease else Alone(),
        inbox_seconds=INBOX_SECONDS if config.webhook_secret or config.realtime_token else MAINTENANCE_SECONDS,
        clock=clock,
    )


def build_status_tracker(
    config: Config, source: Source, *, listens: bool, poll_only: str | None = None
) -> StatusTracker:
    """Return what makes the status of a process that listens, or that fetches once."""
    return StatusTracker(
        poll_only=poll_only,
        secrets=(config.environment_key, config.stream_key, *config.headers.values()),
        is_billed=source.is_flagsmith,
        has_webhook=config.webhook_secret is not None,
        listens=listens,
        interval=(source.interval or config.fallback_poll_interval) if listens else None,
        origin=source.origin,
    )


def build_usage_reporter(config: Config) -> UsageReporter:
    """Return what reports to Flagsmith how often flags are read."""
    return UsageReporter(
        Store(config.cache, config.namespace),
        api_url=config.api_url,
        environment_key=config.environment_key or "",
        timeout=config.request_timeout,
        headers=config.headers,
    )


def build_publisher(config: Config) -> Publisher:
    """Return a publisher for Flagsmith, or for the file that is edited in place of an account there."""
    source: Source
    path = config.snapshot_file
    if path and not config.environment_key:
        source, path = FileSource(path), None
    else:
        source = ApiSource(
            api_url=config.api_url,
            environment_key=config.environment_key or "",
            timeout=config.request_timeout,
            headers=config.headers,
        )
    return Publisher(
        source=source,
        store=Store(config.cache, config.namespace),
        freshness=config.freshness,
        snapshot_file=path,
        reader=get_reader(config),
        post=partial(post, config.hub["PUBLISH_URL"]) if config.hub else None,
        clock=time.monotonic,
    )


def build_lease(config: Config) -> Lease | None:
    """Return the deployment's lease; None where its cache can't carry one."""
    if not get_backend(config.cache).carries_lease:
        return None
    return Lease(config.cache, config.namespace, seconds=config.lease_seconds)
